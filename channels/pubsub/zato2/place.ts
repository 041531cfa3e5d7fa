import { targetOf } from '../rest/request-target.ts';

/** What a request of this door is about. */
export interface Place {
  /** `topic`, `msg`, or what is neither. */
  readonly itemType: string;
  /** A topic, or the id of a message. */
  readonly item: string;
  readonly query: URLSearchParams;
}

const prefix = '/zato/pubsub/';

/**
 * The place that a URL means: `/zato/pubsub/{item_type}/{item}/`. Undefined when it is another door's: the
 * slash at the end is what tells 2.0 from 3.x. Topics begin with a slash, so the path has two in a row.
 */
export function placeOf(url: string): Place | undefined {
  const { path, query } = targetOf(url);
  if (!path.startsWith(prefix) || !path.endsWith('/')) return undefined;
  const rest = path.slice(prefix.length, -1);
  const slash = rest.indexOf('/');
  if (slash < 1 || slash === rest.length - 1) return undefined;
  return {
    itemType: rest.slice(0, slash),
    item: decoded(rest.slice(slash + 1)),
    query: new URLSearchParams(query),
  };
}

/** As it is where the escapes are not UTF-8: nothing is called so. */
function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

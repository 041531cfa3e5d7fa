import { targetOf } from '../rest/request-target.ts';
import type { Exchange } from './exchange.ts';
import { getMessages } from './get-messages.ts';
import { publish } from './publish.ts';
import { subscribe, unsubscribe } from './subscribe.ts';

/** What a request is for. */
type Operation = (exchange: Exchange, topic: string) => Promise<void>;

/** A path of this door: its topic, and what each method does with it. */
export interface Place {
  readonly topic: string;
  readonly operations: Readonly<Record<string, Operation>>;
}

const places: readonly (readonly [string, Place['operations']])[] = [
  ['/zato/pubsub/topic/', { POST: publish, PATCH: getMessages }],
  ['/zato/pubsub/subscribe/topic/', { POST: subscribe, DELETE: unsubscribe }],
];

/**
 * The place that a URL means; undefined when it is another door's. A path that ends in a slash is one of
 * Zato 2.0. Topics begin with a slash, so the path has two in a row.
 */
export function placeOf(url: string): Place | undefined {
  const { path } = targetOf(url);
  if (path.endsWith('/')) return undefined;
  for (const [start, operations] of places) {
    if (path.startsWith(start)) return { topic: decoded(path.slice(start.length)), operations };
  }
  return undefined;
}

/** As it is where the escapes are not UTF-8: no topic is called so. */
function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

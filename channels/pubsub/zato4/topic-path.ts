import { Fault } from '../../../runtime/core/fault.ts';
import { checkTopicName, isTopicPath, normaliseTopic } from '../../../runtime/pubsub/topic-name.ts';

/** A topic in a URL: undefined where the escapes are not UTF-8. */
export interface TopicPath {
  readonly decoded: string | undefined;
}

/** The topic in the rest of a path; undefined when no topic can be called so (Zato 4: an unknown URL). */
export function topicPathOf(rest: string): TopicPath | undefined {
  const decoded = rest.includes('%') ? decode(rest) : rest;
  if (decoded === undefined) return { decoded };
  return isTopicPath(decoded) ? { decoded } : undefined;
}

/** The topic's name, in lower case. @throws Fault `bad-request` in the words of Zato 4. */
export function topicNameOf({ decoded }: TopicPath): string {
  if (decoded === undefined) {
    throw new Fault('bad-request', 'Topic name has an escape that is not UTF-8');
  }
  checkTopicName(decoded);
  return normaliseTopic(decoded);
}

function decode(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}

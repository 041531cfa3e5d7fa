import type { Exchange } from './exchange.ts';
import { getMessages } from './get-messages.ts';
import { publish } from './publish.ts';
import { ackMessages, rejectMessages } from './settle.ts';
import { subscribe, unsubscribe } from './subscribe.ts';
import { type TopicPath, topicPathOf } from './topic-path.ts';

/** What a request is for. */
export type Operation = (exchange: Exchange) => Promise<void>;

type TopicOperation = (exchange: Exchange, path: TopicPath) => Promise<void>;

const prefix = '/pubsub/';

const fixed: ReadonlyMap<string, Operation> = new Map([
  ['/pubsub/messages/get', getMessages],
  ['/pubsub/messages/ack', ackMessages],
  ['/pubsub/messages/reject', rejectMessages],
]);

const publishing: readonly (readonly [string, TopicOperation])[] = [['/pubsub/topic/', publish]];
const subscribing: readonly (readonly [string, TopicOperation])[] = [
  ['/pubsub/subscribe/topic/', subscribe],
  ['/pubsub/unsubscribe/topic/', unsubscribe],
];

/** The path of a request of this door; undefined when it is another's. */
export function pathOf(url: string): string | undefined {
  const local = url.startsWith('/') ? url : url.replace(/^https?:\/\/[^/?]*/i, '');
  if (!local.startsWith(prefix)) return undefined;
  const mark = local.indexOf('?');
  return mark < 0 ? local : local.slice(0, mark);
}

/** The operation at a path of this door; undefined where there is none. */
export function operationAt(
  path: string,
  { subscribeEnabled }: { readonly subscribeEnabled: boolean },
): Operation | undefined {
  const ofTopics = subscribeEnabled ? [...publishing, ...subscribing] : publishing;
  for (const [start, operation] of ofTopics) {
    if (!path.startsWith(start)) continue;
    const topic = topicPathOf(path.slice(start.length));
    return topic && ((exchange) => operation(exchange, topic));
  }
  return fixed.get(path);
}

import type { Exchange } from './exchange.ts';
import { type TopicPath, topicNameOf } from './topic-path.ts';

/** `POST /pubsub/subscribe/topic/{topic}` */
export async function subscribe(exchange: Exchange, path: TopicPath): Promise<void> {
  const topic = topicNameOf(path);
  exchange.permit('subscribe', topic);
  exchange.rulesOf(topic);
  const subKey = await exchange.host.subscriptions.subscribe(exchange.security, topic);
  exchange.answer({ sub_key: subKey });
}

/** `POST /pubsub/unsubscribe/topic/{topic}` */
export async function unsubscribe(exchange: Exchange, path: TopicPath): Promise<void> {
  const topic = topicNameOf(path);
  exchange.permit('subscribe', topic);
  await exchange.host.subscriptions.unsubscribe(exchange.security, topic);
  exchange.answer({});
}

import { idempotencyKeyOf, refusalOf } from '../rest/idempotency.ts';
import type { Exchange } from './exchange.ts';
import { publicationOf } from './publication.ts';
import { type TopicPath, topicNameOf } from './topic-path.ts';

/** `POST /pubsub/topic/{topic}` */
export async function publish(exchange: Exchange, path: TopicPath): Promise<void> {
  const topic = topicNameOf(path);
  exchange.permit('publish', topic);
  const rules = exchange.rulesOf(topic);
  const idempotencyKey = idempotencyKeyOf(exchange.req.headers);
  const origin = { topic, rules, idempotencyKey, publisher: exchange.security, cid: exchange.cid };
  const publication = publicationOf(await exchange.body(), origin);
  try {
    const { msgId, duplicate } = await exchange.host.broker.publish(publication);
    exchange.answer({ msg_id: msgId }, duplicate ? { is_duplicate: true } : {});
  } catch (error) {
    throw refusalOf(error);
  }
}

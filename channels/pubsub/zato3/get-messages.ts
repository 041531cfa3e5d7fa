import { takeAll } from '../../../runtime/pubsub/taking.ts';
import { normaliseTopic } from '../../../runtime/pubsub/topic-name.ts';
import { zato3Json } from '../../../runtime/pubsub/zato3-message.ts';
import { jsonAnswer } from '../rest/answer.ts';
import { acknowledge, giveBack } from '../rest/taken.ts';
import type { Exchange } from './exchange.ts';

/** One answer's; who wants more asks again. */
const limits = { max: 1_000, maxBytes: 20_000_000 };

/**
 * `PATCH /zato/pubsub/topic/{topic}`: newest first. What is answered leaves the queue when all of the
 * answer is written.
 */
export async function getMessages(exchange: Exchange, topic: string): Promise<void> {
  const { host, endpoint } = exchange;
  const queue = await host.endpointBroker.queueOf(topic, endpoint);
  const taken = await takeAll(host.broker, queue, { ...limits, topic: normaliseTopic(topic) });
  const newestFirst = taken.toSorted((one, other) => other.message.seq - one.message.seq);
  const whole = await exchange.sendWhole(jsonAnswer(`[${newestFirst.map(zato3Json).join(',')}]`));
  if (whole) await acknowledge(exchange, queue.subKey, taken);
  else await giveBack(exchange, queue.subKey, taken);
}

import { Fault } from '../../../runtime/core/fault.ts';
import { zato2Result, zato2Results } from '../../../runtime/delivery/zato2-body.ts';
import type { Delivery } from '../../../runtime/pubsub/message.ts';
import { giveBack } from '../rest/taken.ts';
import { answerOf, notAuthorized } from './answer.ts';
import type { Exchange } from './exchange.ts';
import { type ConsumeOptions, consumeOptionsOf } from './options.ts';
import type { ConsumerSubscription } from './ports.ts';
import { isXmlText } from './xml.ts';

/** Of the data in one reply, in bytes: more than the longest message. */
const mostBytes = 10_000_000;
/** Until the whole reply was sent: what a process that dies meanwhile had taken comes back. */
const sendingMs = 60_000;

/** `POST /zato/pubsub/msg/{topic}/`: what is answered is in flight until the consumer says more. */
export async function consume(exchange: Exchange): Promise<void> {
  const { host, place } = exchange;
  const topic = exchange.topicName();
  exchange.permit('subscribe', topic);
  const own = host.subscriptions.bySecurity(exchange.security);
  if (!own || !host.subscriptions.gets(own.subKey, topic)) {
    throw new Fault('forbidden', notAuthorized);
  }
  if (!exchange.names(own)) {
    exchange.sendInvalidSubKey();
    return;
  }
  const options = consumeOptionsOf(place.query);
  const taken = own.paused ? [] : await take(exchange, own, { topic, ...options });
  const asText = exchange.format === 'xml' ? isXmlText : undefined;
  const results = taken.map(({ message }) => zato2Result(message, asText));
  const whole = await exchange.sendWhole(answerOf(zato2Results(results), exchange.format));
  if (!whole) await giveBack(exchange, own.subKey, taken);
  else if (own.leaseMs === undefined) {
    await host.broker.extend(own.subKey, taken, Number.POSITIVE_INFINITY);
  }
}

function take(
  { host }: Exchange,
  { subKey, leaseMs = sendingMs, maxDeliveries, maxInflight }: ConsumerSubscription,
  { topic, max, newestFirst }: ConsumeOptions & { readonly topic: string },
): Promise<readonly Delivery[]> {
  return host.broker.take(subKey, {
    max,
    maxBytes: mostBytes,
    leaseMs,
    maxDeliveries,
    maxInflight,
    refuseFull: true,
    topic,
    newestFirst,
  });
}

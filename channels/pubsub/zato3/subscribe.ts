import type { Exchange } from './exchange.ts';

/** `POST /zato/pubsub/subscribe/topic/{topic}`; who is subscribed already hears nothing (Zato 3.2). */
export async function subscribe(exchange: Exchange, topic: string): Promise<void> {
  const { host, endpoint } = exchange;
  const { subKey, isNew, depth } = await host.endpointBroker.subscribe(topic, endpoint);
  exchange.answer(isNew ? { sub_key: subKey, queue_depth: depth } : {});
}

/** `DELETE /zato/pubsub/subscribe/topic/{topic}`; nothing happens to who is not subscribed. */
export async function unsubscribe(exchange: Exchange, topic: string): Promise<void> {
  const { host, endpoint } = exchange;
  await host.endpointBroker.unsubscribe(topic, endpoint);
  exchange.answer({});
}

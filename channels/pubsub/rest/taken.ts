import type { Delivery, Lease } from '../../../runtime/pubsub/message.ts';
import type { RestExchange, RestHost } from './rest-exchange.ts';

/** What settling needs of the broker. */
interface SettlingBroker {
  /** True per lease; false where it was no longer held. */
  ack(subKey: string, leases: readonly Lease[]): Promise<readonly boolean[]>;
  reject(
    subKey: string,
    rejections: readonly (Lease & { readonly countFailure: false })[],
  ): Promise<unknown>;
}

type Host = RestHost & { readonly broker: SettlingBroker };

/** Takes what was answered out of the queue. */
export async function acknowledge(
  { host, cid }: RestExchange<Host>,
  subKey: string,
  deliveries: readonly Delivery[],
): Promise<void> {
  if (deliveries.length === 0) return;
  const held = await host.broker.ack(subKey, deliveries);
  const late = held.filter((acked) => !acked).length;
  if (late > 0) host.log.warn('messages answered after their lease', { cid, subKey, late });
}

/** At once, and it is not the messages' fault. */
export async function giveBack(
  { host }: RestExchange<Host>,
  subKey: string,
  deliveries: readonly Delivery[],
): Promise<void> {
  if (deliveries.length === 0) return;
  await host.broker.reject(
    subKey,
    deliveries.map(({ message, token }) => ({ message, token, countFailure: false })),
  );
}

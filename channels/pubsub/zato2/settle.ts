import type { Lease } from '../../../runtime/pubsub/message.ts';
import type { Exchange } from './exchange.ts';
import { verdictOf } from './options.ts';
import type { ConsumerSubscription } from './ports.ts';

/** `DELETE /zato/pubsub/msg/{msg_id}/`, with `ack=true` or `reject=true` */
export async function settle(exchange: Exchange): Promise<void> {
  const { host, place } = exchange;
  const { item, query } = place;
  const verdict = verdictOf(query);
  const own = host.subscriptions.bySecurity(exchange.security);
  if (!exchange.names(own)) {
    exchange.sendInvalidSubKey();
    return;
  }
  const [lease] = await host.broker.leases(own.subKey, [item]);
  const held = lease !== undefined && (await settleLease(exchange, own, lease, verdict));
  if (held) exchange.sendValue({ status: 'ZATO_OK', details: '' });
  else exchange.sendError(`Message not found \`${item.slice(0, 200)}\``, 200);
}

/** False when it was not held any more: somebody was faster. */
async function settleLease(
  { host }: Exchange,
  { subKey, maxDeliveries }: ConsumerSubscription,
  lease: Lease,
  verdict: 'ack' | 'reject',
): Promise<boolean> {
  if (verdict === 'ack') {
    const [held] = await host.broker.ack(subKey, [lease]);
    return held === true;
  }
  const rejection = { ...lease, reason: 'rejected by its consumer', maxDeliveries };
  const [result] = await host.broker.reject(subKey, [rejection]);
  return result !== 'gone';
}

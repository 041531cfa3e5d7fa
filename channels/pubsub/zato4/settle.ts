import type { Lease } from '../../../runtime/pubsub/message.ts';
import { leaseOf } from './ack-id.ts';
import type { Exchange } from './exchange.ts';
import type { RejectResult } from './ports.ts';
import { type SettleQuery, settleQueryOf } from './settle-query.ts';

/** What became of a message: `stale` when its lease had ended before, `invalid` for what is no ack id. */
type Result = 'acked' | Exclude<RejectResult, 'gone'> | 'stale' | 'invalid';

/** `POST /pubsub/messages/ack` */
export async function ackMessages(exchange: Exchange): Promise<void> {
  const { subKey } = exchange.subscription();
  const query = settleQueryOf(await exchange.body());
  await settle(exchange, query, async (leases) => {
    const held = await exchange.host.broker.ack(subKey, leases);
    return held.map((acked) => (acked ? 'acked' : 'stale'));
  });
}

/** `POST /pubsub/messages/reject` */
export async function rejectMessages(exchange: Exchange): Promise<void> {
  const { subKey, maxDeliveries } = exchange.subscription();
  const query = settleQueryOf(await exchange.body());
  const { delayMs, reason = 'rejected by its reader' } = query;
  await settle(exchange, query, async (leases) => {
    const rejections = leases.map((lease) => ({ ...lease, delayMs, reason, maxDeliveries }));
    const results = await exchange.host.broker.reject(subKey, rejections);
    return results.map((result) => (result === 'gone' ? 'stale' : result));
  });
}

async function settle(
  exchange: Exchange,
  { ackIds }: SettleQuery,
  act: (leases: readonly Lease[]) => Promise<readonly Result[]>,
): Promise<void> {
  const leases = ackIds.map(leaseOf);
  const known = leases.filter((lease) => lease !== undefined);
  const settled = known.length === 0 ? [] : [...(await act(known))];
  const results = ackIds.map((ackId, at) => {
    const result = leases[at] ? (settled.shift() ?? 'stale') : 'invalid';
    return { ack_id: ackId, result };
  });
  exchange.answer({ results });
}

import { Fault } from '../core/fault.ts';
import { leasesScript, takeSomeScript } from './lua/take-some.ts';
import type { Delivery, Lease } from './message.ts';
import { isIdOf, seqOf } from './message-id.ts';
import { decodeRecord, idOfHead, metaStart } from './record.ts';
import type { RedisStore } from './redis-store.ts';

/** What a taker wants of a queue, when it is not simply what comes first. */
export interface Choice {
  /** Of this topic only. Default: of all topics of the subscription. */
  readonly topic?: string;
  /** From the end of the queue: lowest priority first, and of one priority the newest. Default false. */
  readonly newestFirst?: boolean;
  /** Where `maxInflight` are leased already, a refusal instead of nothing. Default false. */
  readonly refuseFull?: boolean;
}

interface SomeWish extends Choice {
  readonly max: number;
  readonly maxBytes: number;
  readonly leaseMs: number;
  readonly maxDeliveries: number;
  readonly maxInflight: number;
  readonly maxDead: number;
}

/** Whether it takes another script than the usual one, which is made for speed. */
export function isChoosy({ topic, newestFirst, refuseFull }: Choice): boolean {
  return topic !== undefined || newestFirst === true || refuseFull === true;
}

/**
 * Leases what was chosen; each script looks at a bounded number, so that a long queue of other topics stops nobody.
 * @throws Fault `too-many`
 */
export async function takeSome(
  store: RedisStore,
  subKey: string,
  wish: SomeWish,
): Promise<readonly Delivery[]> {
  const { topic, newestFirst, leaseMs, maxInflight } = wish;
  const start = topic === undefined ? '' : metaStart(topic);
  const taken: Delivery[] = [];
  let bytes = wish.maxBytes;
  for (let after = '', refuses = wish.refuseFull ? 'r' : ''; ; refuses = '') {
    const leasedUntil = Date.now() + leaseMs;
    const [note, ...flat] = await store.askBuffers(
      takeSomeScript,
      ...[subKey, wish.max - taken.length, bytes, leaseMs],
      ...[wish.maxDeliveries, maxInflight, wish.maxDead, refuses],
      ...[start, newestFirst ? 'd' : '', after],
    );
    after = String(note);
    if (after === 'full') throw fullFault(flat[0], maxInflight);
    for (let at = 0; at + 4 < flat.length; at += 5) {
      const delivery = deliveryOf(flat.slice(at, at + 5), { subKey, leasedUntil });
      bytes -= delivery.message.data.length;
      taken.push(delivery);
    }
    if (after === '') return taken;
  }
}

/** By an id of any API, or by the one its publisher gave it; undefined for what is not leased. */
export async function findLeases(
  store: RedisStore,
  subKey: string,
  ids: readonly string[],
): Promise<readonly (Lease | undefined)[]> {
  if (ids.length === 0) return [];
  const args = ids.flatMap((id) => [seqOf(id) ?? 0, id]);
  const flat = await store.askBuffers(leasesScript, subKey, ...args);
  return ids.map((id, n) => {
    const [bySeq, byGiven] = [leaseOf(flat, n * 6), leaseOf(flat, n * 6 + 3)];
    // The same number of another Redis, or a guessed id.
    return bySeq && isIdOf(id, bySeq.message.msgId) ? bySeq : byGiven;
  });
}

function deliveryOf(
  [seq, token, deliveries, failures, record]: readonly unknown[],
  lease: Pick<Delivery, 'subKey' | 'leasedUntil'>,
): Delivery {
  if (!Buffer.isBuffer(record)) throw new Fault('internal', 'Internal error');
  return {
    ...lease,
    message: decodeRecord(Number(String(seq)), record),
    token: String(token),
    deliveries: Number(deliveries),
    failures: Number(failures),
  };
}

function leaseOf(flat: readonly unknown[], at: number): Lease | undefined {
  const [seq, token, head] = flat.slice(at, at + 3);
  if (!Buffer.isBuffer(head) || head.length === 0) return undefined;
  return { message: { msgId: idOfHead(Number(String(seq)), head) }, token: String(token) };
}

function fullFault(inflight: unknown, maxInflight: number): Fault {
  return new Fault('too-many', `In-flight queue full (${inflight}/${maxInflight})`, {
    details: { reason: 'in-flight full' },
    retryAfterMs: 5_000,
  });
}

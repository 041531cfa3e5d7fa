import { parseDuration } from '../core/duration.ts';
import type { Broker } from './broker.ts';
import { maxTake } from './limits.ts';
import type { Delivery } from './message.ts';
import type { SubscriptionRoute } from './route-table.ts';

export interface Taking {
  /** Of this one only. */
  readonly topic: string;
  readonly max: number;
  readonly maxBytes: number;
}

/** What a reader may be slow in taking. */
const leaseMs = 60_000;

/**
 * Leases all that waits in a queue of one topic, up to the limits. What is read over Zato 3.x leaves the queue as soon
 * as its reader has it, so nobody holds more than this.
 */
export async function takeAll(
  broker: Pick<Broker, 'take'>,
  { subKey, topics, definition }: Pick<SubscriptionRoute, 'subKey' | 'topics' | 'definition'>,
  { topic, max, maxBytes }: Taking,
): Promise<readonly Delivery[]> {
  if (definition?.spec.paused) return [];
  const { maxDeliveries, maxInflight = 1_000, lease } = definition?.spec ?? {};
  const deliveries: Delivery[] = [];
  const others = topics.length > 1 || topics[0] !== topic;
  let room = maxBytes;
  while (deliveries.length < max) {
    const taken = await broker.take(subKey, {
      max: Math.min(max - deliveries.length, maxTake),
      maxBytes: room,
      leaseMs: lease === undefined ? leaseMs : Math.max(parseDuration(lease), leaseMs),
      // Other readers' answers may still be being acknowledged.
      maxInflight: maxInflight + max,
      ...(maxDeliveries === undefined ? {} : { maxDeliveries }),
      ...(others ? { topic } : {}),
    });
    if (taken.length === 0) break;
    deliveries.push(...taken);
    room -= taken.reduce((sum, { message }) => sum + message.data.length, 0);
  }
  return deliveries;
}

import { setTimeout as sleep } from 'node:timers/promises';
import type { Delivery } from '../../../runtime/pubsub/message.ts';
import { jsonOf, openBroker } from '../../support/broker.ts';
import { LedgerFile } from '../../support/ledger.ts';

/** What a consuming process is told to do, as JSON in its first argument. */
export interface SubscriberOrder {
  readonly redis: string;
  readonly ledger: string;
  readonly subKeys: readonly string[];
  /** How many messages of a subscription it holds at most. */
  readonly batch: number;
  readonly leaseMs: number;
  /** How long it works on a batch before it acknowledges. */
  readonly workMs: number;
  /** Acknowledges before it writes the deliveries down. */
  readonly ackFirst: boolean;
}

/* Takes, writes down, acknowledges, for each of its subscriptions, until it is ended. */
const order = JSON.parse(process.argv[2] ?? '') as SubscriberOrder;
const ledger = new LedgerFile(order.ledger);
const { broker } = await openBroker(order.redis);
for (const subKey of order.subKeys) void consume(subKey);
void tend();

async function tend(): Promise<void> {
  for (;;) {
    await broker.tend().catch(() => {});
    await sleep(100);
  }
}

async function consume(subKey: string): Promise<void> {
  for (;;) {
    const { batch, leaseMs } = order;
    const taken = await broker
      .take(subKey, { max: batch, leaseMs, maxDeliveries: 1_000, waitMs: 300 })
      .catch(() => []);
    if (taken.length === 0) await sleep(10);
    else await finish(subKey, taken);
  }
}

async function finish(subKey: string, taken: readonly Delivery[]): Promise<void> {
  const lines = taken.map(({ message, deliveries }) => [
    subKey,
    message.msgId,
    deliveries,
    String(jsonOf(message)),
  ]);
  if (order.ackFirst) await acknowledge(subKey, taken);
  else ledger.add(...lines);
  if (order.workMs > 0) await sleep(order.workMs);
  if (order.ackFirst) ledger.add(...lines);
  else await acknowledge(subKey, taken);
}

/** Until Redis says so, or the leases are over anyway. */
async function acknowledge(subKey: string, taken: readonly Delivery[]): Promise<void> {
  const end = performance.now() + order.leaseMs;
  while (performance.now() < end) {
    try {
      await broker.ack(subKey, taken);
      return;
    } catch {
      await sleep(20);
    }
  }
}

import { setTimeout as sleep } from 'node:timers/promises';
import { Fault } from '../../../runtime/core/fault.ts';
import type { Published } from '../../../runtime/pubsub/message.ts';
import { openBroker } from '../../support/broker.ts';
import { LedgerFile, type Outcome, readPublishings } from '../../support/ledger.ts';

/** What a publishing process is told to do, as JSON in its first argument. */
export interface PublisherOrder {
  readonly redis: string;
  readonly ledger: string;
  /** Keys are `<prefix><number>`, from 0. */
  readonly prefix: string;
  readonly count: number;
  /** How many are on their way at once. */
  readonly concurrency: number;
  /** Each message goes to all of them, one publication each: usually one. */
  readonly topics: readonly string[];
  /** False leaves the idempotency key out. */
  readonly keyed: boolean;
  readonly chunk: number;
}

/*
 * Publishes each key until it is acknowledged, writing down every outcome; what its ledger has as acknowledged is
 * not sent again, so that one that takes over from a killed one sends all that may not have arrived.
 */
const order = JSON.parse(process.argv[2] ?? '') as PublisherOrder;
const done = new Set(
  readPublishings(order.ledger)
    .filter(({ outcome }) => outcome === 'acked')
    .map(({ key }) => key),
);
const ledger = new LedgerFile(order.ledger);
const { broker, close } = await openBroker(order.redis, { limits: { chunk: order.chunk } });
let next = 0;
await Promise.all(Array.from({ length: order.concurrency }, lane));
close();
ledger.close();

async function lane(): Promise<void> {
  while (next < order.count) {
    const key = `${order.prefix}${next}`;
    next += 1;
    if (!done.has(key)) await send(key);
  }
}

async function send(key: string): Promise<void> {
  for (;;) {
    try {
      ledger.add([key, 'acked', (await publish(key)).msgId, Date.now()]);
      return;
    } catch (error) {
      ledger.add([key, outcomeOf(error), '-', Date.now()]);
      await sleep(20);
    }
  }
}

async function publish(key: string): Promise<Published> {
  let last: Published | undefined;
  for (const topic of order.topics) {
    last = await broker.publish({
      topic,
      data: JSON.stringify(key),
      cid: key,
      ...(order.keyed ? { idempotencyKey: key } : {}),
    });
  }
  if (!last) throw new Error('No topic to publish to');
  return last;
}

function outcomeOf(error: unknown): Outcome {
  if (!(Fault.is(error) && error.code === 'unavailable')) throw error;
  const { details } = error;
  const unknown = typeof details === 'object' && details !== null && 'outcome' in details;
  return unknown ? 'unknown' : 'refused';
}

import { openBroker, push } from '../support/broker.ts';
import type { Audit } from '../support/ledger.ts';
import { startRedis } from '../support/redis.ts';
import { until } from '../support/until.ts';
import { Crew } from './crew.ts';

export const concurrency = 10;

async function open() {
  const server = await startRedis();
  const test = await openBroker(server.path);
  const crew = await Crew.hire(server.path);
  await test.broker.subscribe(push('one', 'ledger'));
  return {
    server,
    test,
    crew,
    /** Nothing waits, is leased or is delayed. */
    drained: () =>
      until(async () => {
        const [depth] = await test.broker.depth(['one']);
        return depth && depth.waiting + depth.leased + depth.delayed === 0;
      }, 40_000),
    async close() {
      await crew.dismiss();
      test.close();
      await server.stop();
    },
  };
}

export interface Killed {
  readonly books: Audit;
  /** From the kill until another process delivers. */
  readonly ms: number;
  readonly dead: number;
}

/** Two processes with services; the one that delivers is killed. */
export async function killDeliverer(): Promise<Killed> {
  const { crew, test, drained, close } = await open();
  try {
    crew.publisher({ count: 120 });
    await crew.published();
    for (let n = 0; n < 2; n++) crew.deliverer({ subKey: 'one', concurrency, workMs: 40 });
    await until(() => crew.deliverings.length > 40);
    crew.busiest?.kill();
    const from = performance.now();
    const before = crew.deliverings.length;
    await until(() => crew.deliverings.length > before + concurrency, 20_000);
    const ms = performance.now() - from;
    await drained();
    const [depth] = await test.broker.depth(['one']);
    return { books: crew.audit(['one']), ms, dead: depth?.dead ?? -1 };
  } finally {
    await close();
  }
}

export interface Poisoned {
  readonly books: Audit;
  /** Reason and failures of each dead letter. */
  readonly dead: readonly string[];
  /** Messages that went well. */
  readonly others: number;
  /** How often the bad one was delivered. */
  readonly poisonings: number;
}

/** 50 messages, one that kills who has it, and 50 more. */
export async function poison(maxDeliveries: number): Promise<Poisoned> {
  const { crew, test, drained, close } = await open();
  try {
    for (let n = 0; n < 50; n++) await test.publish('ledger', `m${n}`);
    await test.publish('ledger', 'poison');
    for (let n = 50; n < 100; n++) await test.publish('ledger', `m${n}`);
    crew.deliverer({ subKey: 'one', concurrency, workMs: 1, maxDeliveries, lockMs: 1_000 });
    const poisonings = () => crew.deliverings.filter(({ key }) => key === 'poison').length;
    if (maxDeliveries > 10) await until(() => poisonings() > 3, 50_000);
    else await drained();
    const { items } = await test.broker.browse('one', { state: 'dead' });
    const done = crew.deliverings.filter(({ key }) => key !== 'poison');
    return {
      books: crew.audit(['one']),
      dead: items.map(({ reason, failures }) => `${reason} ${failures}`),
      others: new Set(done.map(({ key }) => key)).size,
      poisonings: poisonings(),
    };
  } finally {
    await close();
  }
}

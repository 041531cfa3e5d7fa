import { startRedis } from '../support/redis.ts';
import { Meter } from './contest.ts';
import { median, type Report } from './figure.ts';
import { dataOf, HenceSide } from './pubsub-side.ts';

const data = dataOf(200);
const places = 64;

/** What a long queue costs: two Redis, one nearly empty and one with very many messages, in turns. */
export async function measureDepth(report: Report): Promise<void> {
  const few = await Pool.open();
  const many = await Pool.open();
  try {
    const deep = report.quick ? 20_000 : 1_000_000;
    await few.fill(1_000);
    const before = await many.meter.memory();
    await many.fill(deep);
    const bytes = (await many.meter.memory()) - before;
    const text = deep.toLocaleString('en');
    report.figure({
      name: `bytes of Redis for a 200-byte message, ${text}`,
      measured: Math.round(bytes / deep),
      unit: '',
      goal: { atMost: 700 },
    });
    for (const what of ['publish', 'take'] as const) {
      const rates = await inTurns(
        report.quick ? 1 : 9,
        () => few.rate(what),
        () => many.rate(what),
      );
      const [ofFew, ofMany] = [
        median(rates.map(([one]) => one)),
        median(rates.map(([, one]) => one)),
      ];
      report.figure({
        name: `${what} with ${text} queued / with 1,000`,
        measured: median(rates.map(([one, other]) => other / one)),
        unit: 'x',
        goal: { atLeast: 0.85 },
        beside: `${ofMany.toFixed(0)} messages/s, against ${ofFew.toFixed(0)}`,
      });
    }
  } finally {
    await few.close();
    await many.close();
  }
}

/** Both in each round, one first and then the other; a round before them warms up. */
async function inTurns(
  rounds: number,
  one: () => Promise<number>,
  other: () => Promise<number>,
): Promise<readonly (readonly [number, number])[]> {
  const results: (readonly [number, number])[] = [];
  for (let round = 0; round <= rounds; round++) {
    const last = round % 2 === 0 ? undefined : await other();
    const first = await one();
    if (round > 0) results.push([first, last ?? (await other())]);
  }
  return results;
}

/** A Redis with one queue. */
class Pool {
  readonly meter: Meter;
  readonly #side: HenceSide;
  readonly #stop: () => Promise<void>;

  static async open(): Promise<Pool> {
    const redis = await startRedis();
    const meter = new Meter(redis);
    const side = await HenceSide.open(redis.path, meter, [
      { subKey: 'deep', topics: ['bench.deep'], maxDepth: 10_000_000 },
    ]);
    return new Pool(meter, side, () => redis.stop());
  }

  private constructor(meter: Meter, side: HenceSide, stop: () => Promise<void>) {
    this.meter = meter;
    this.#side = side;
    this.#stop = stop;
  }

  fill(count: number): Promise<void> {
    return this.#side.publish('bench.deep', data, count, places);
  }

  /** Messages a second. What is published is taken again, so that the queue stays as long. */
  async rate(what: 'publish' | 'take'): Promise<number> {
    const batches = 100;
    const count = batches * 100;
    if (what === 'take') {
      const turn = () => this.#side.takeAndAck('deep', batches, 100, 4);
      await this.fill(count);
      return (await this.meter.cost(count, turn)).perSecond;
    }
    const { perSecond } = await this.meter.cost(count, () => this.fill(count));
    await this.#side.takeAndAck('deep', batches, 100, 4);
    return perSecond;
  }

  async close(): Promise<void> {
    await this.#side.close();
    this.meter.close();
    await this.#stop();
  }
}

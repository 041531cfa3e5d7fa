import { FlowProducer, Queue, Worker } from 'bullmq';
import { startRedis } from '../support/redis.ts';
import { type Contender, contest, inFlight, Meter } from './contest.ts';
import type { Report } from './figure.ts';
import { dataOf, HenceSide } from './pubsub-side.ts';

const data = dataOf(200);
const fanQueues = 10;
const peerPrefix = 'peer';
/** More do not make it faster. */
const peerPlaces = 64;
/** So that Redis has work while a batch is looked at. */
const takers = 2;

/** Publishing, fan-out, taking and acknowledging, against BullMQ on the same Redis. */
export async function measureRates(report: Report): Promise<void> {
  await onRedis([], async (rates) => {
    await rates.alone(report);
    for (const places of [16, 64]) await rates.publish(report, places, '');
    await rates.fanOut(report);
    await rates.consume(report);
  });
  await onRedis(['--appendonly', 'yes', '--appendfsync', 'always'], (rates) =>
    rates.publish(report, 64, ', AOF always'),
  );
}

async function onRedis(
  args: readonly string[],
  use: (rates: Rates) => Promise<void>,
): Promise<void> {
  const redis = await startRedis({ args });
  const meter = new Meter(redis);
  const fan = Array.from({ length: fanQueues }, (_, at) => `fan.${at}`);
  const side = await HenceSide.open(redis.path, meter, [
    { subKey: 'one', topics: ['bench.one'], maxDepth: 10_000_000 },
    ...fan.map((subKey) => ({ subKey, topics: ['bench.fan'], maxDepth: 10_000_000 })),
  ]);
  const connection = { path: redis.path };
  const queue = new Queue('one', { connection, prefix: peerPrefix });
  const flow = new FlowProducer({ connection, prefix: peerPrefix });
  const fanned = fan.map((name) => new Queue(name, { connection, prefix: peerPrefix }));
  await Promise.all([...fanned, queue, flow].map((one) => one.waitUntilReady()));
  try {
    await use(new Rates({ path: redis.path, meter, side, queue, flow, fanned }));
  } finally {
    await Promise.all([...fanned, queue, flow].map((one) => one.close()));
    await side.close();
    meter.close();
    await redis.stop();
  }
}

interface RateParts {
  readonly path: string;
  readonly meter: Meter;
  readonly side: HenceSide;
  readonly queue: Queue;
  readonly flow: FlowProducer;
  readonly fanned: readonly Queue[];
}

class Rates {
  readonly #parts: RateParts;

  constructor(parts: RateParts) {
    this.#parts = parts;
  }

  /** One after the other each waits for a round trip, whoever makes it: that has no goal. */
  async alone(report: Report): Promise<void> {
    const { side, queue, meter } = this.#parts;
    const messages = report.quick ? 200 : 5_000;
    const rates: string[] = [];
    for (const [what, turn] of [
      ['publish', () => side.publish('bench.one', data, messages, 1)],
      ['Queue.add', () => inFlight(messages, 1, () => queue.add('one', data))],
      ['PING', () => inFlight(messages, 1, () => meter.ping())],
    ] as const) {
      await meter.cost(messages, turn);
      const { perSecond } = await meter.cost(messages, turn);
      rates.push(`${what} ${perSecond.toFixed(0)}/s`);
    }
    report.note(`one at a time: ${rates.join(', ')}`);
  }

  async publish(report: Report, places: number, settings: string): Promise<void> {
    const { side, queue, meter } = this.#parts;
    const messages = report.quick ? 200 : 15_000;
    await contest(report, meter, {
      name: `publish / Queue.add, ${places} in flight${settings}`,
      atLeast: 2,
      rounds: report.quick ? 1 : 7,
      against: 'Queue.add',
      ours: this.#ours(messages, () => side.publish('bench.one', data, messages, places)),
      peer: this.#peer(messages, () => inFlight(messages, places, () => queue.add('one', data))),
    });
  }

  async fanOut(report: Report): Promise<void> {
    const { side, flow, fanned, meter } = this.#parts;
    const messages = report.quick ? 50 : 3_000;
    const peerMessages = report.quick ? 50 : 1_000;
    const jobs = fanned.map(({ name }) => ({ name: 'fan', queueName: name, data }));
    const children = { name: 'fan', queueName: 'one', data, children: jobs };
    const peers: Readonly<Record<string, () => Promise<unknown>>> = {
      'FlowProducer.addBulk': () => flow.addBulk(jobs),
      'FlowProducer.add': () => flow.add(children),
      '10 x Queue.add': () => Promise.all(fanned.map((queue) => queue.add('fan', data))),
    };
    for (const [against, once] of Object.entries(peers)) {
      await contest(report, meter, {
        name: `fan-out to 10 / ${against}`,
        atLeast: 8,
        rounds: report.quick ? 1 : 5,
        against,
        ours: this.#ours(messages, () => side.publish('bench.fan', data, messages, peerPlaces)),
        peer: this.#peer(peerMessages, () => inFlight(peerMessages, peerPlaces, once)),
      });
    }
  }

  async consume(report: Report): Promise<void> {
    const { side, queue, meter, path } = this.#parts;
    const messages = report.quick ? 300 : 20_000;
    const peerMessages = report.quick ? 300 : 5_000;
    const worker = new Worker('one', null, { connection: { path }, prefix: peerPrefix });
    const jobs = Array.from({ length: peerMessages }, () => ({ name: 'one', data }));
    try {
      await worker.waitUntilReady();
      await contest(report, meter, {
        name: 'take and ack of 100 / next job, completed',
        atLeast: 8,
        rounds: report.quick ? 1 : 5,
        against: `getNextJob and moveToCompleted; ${takers} and ${peerPlaces} at a time`,
        ours: {
          messages,
          ready: async () => {
            await side.clear();
            await side.publish('bench.one', data, messages, peerPlaces);
          },
          turn: () => side.takeAndAck('one', messages / 100, 100, takers),
        },
        peer: {
          messages: peerMessages,
          ready: async () => {
            await meter.clear(peerPrefix);
            await queue.addBulk(jobs);
          },
          turn: () => inFlight(peerMessages, peerPlaces, () => processOne(worker)),
        },
      });
    } finally {
      await worker.close();
    }
  }

  #ours(messages: number, turn: () => Promise<void>): Contender {
    return { messages, ready: () => this.#parts.side.clear(), turn };
  }

  #peer(messages: number, turn: () => Promise<void>): Contender {
    return { messages, ready: () => this.#parts.meter.clear(peerPrefix), turn };
  }
}

async function processOne(worker: Worker): Promise<void> {
  const job = await worker.getNextJob('token', { block: false });
  if (!job) throw new Error('A job is missing');
  await job.moveToCompleted('done', 'token', false);
}

import { Queue, Worker } from 'bullmq';
import type { DeliveryRunner } from '../../runtime/delivery/delivery-runner.ts';
import { Service } from '../../runtime/index.ts';
import { startRedis } from '../support/redis.ts';
import { type Contender, contest, Meter } from './contest.ts';
import type { Report } from './figure.ts';
import { dataOf, HenceSide } from './pubsub-side.ts';

const data = dataOf(200);
const peerPrefix = 'peer';
/** What a subscription has unless it says otherwise. */
const concurrency = 10;

/** What is waited for: so many calls of the service. */
interface Sink {
  left: number;
  done: () => void;
}

/** Messages that wait, delivered to a service: by a drain, and by a BullMQ Worker with a job for each. */
export async function measurePush(report: Report): Promise<void> {
  const redis = await startRedis();
  const meter = new Meter(redis);
  const side = await HenceSide.open(redis.path, meter, [
    { subKey: 'pushed', topics: ['bench.push'], service: 'bench.sink', concurrency },
  ]);
  const sink: Sink = { left: 0, done: () => {} };
  side.deploy('bench.sink', sinkService(sink));
  const messages = report.quick ? 300 : 20_000;
  const peerMessages = report.quick ? 300 : 8_000;
  try {
    await contest(report, meter, {
      name: 'push to a service / a Worker, a job each',
      atLeast: 3,
      rounds: report.quick ? 1 : 5,
      against: `a Worker; both ${concurrency} at a time`,
      ours: ours(side, sink, messages),
      peer: peer(side, sink, { path: redis.path, meter, messages: peerMessages }),
    });
  } finally {
    await side.close();
    meter.close();
    await redis.stop();
  }
}

function ours(side: HenceSide, sink: Sink, messages: number): Contender {
  let runner: DeliveryRunner | undefined;
  return {
    messages,
    async ready() {
      await side.clear();
      runner = side.runner();
      await side.publish('bench.push', data, messages, 64);
    },
    async turn() {
      const done = calls(sink, messages);
      runner?.start();
      await done;
      await side.drained('pushed');
    },
    async after() {
      await runner?.stop(5_000);
    },
  };
}

function peer(
  side: HenceSide,
  sink: Sink,
  { path, meter, messages }: { path: string; meter: Meter; messages: number },
): Contender {
  const connection = { path };
  let worker: Worker | undefined;
  return {
    messages,
    async ready() {
      await meter.clear(peerPrefix);
      const queue = new Queue('push', { connection, prefix: peerPrefix });
      const job = { name: 'push', data, opts: { removeOnComplete: true } };
      await queue.addBulk(Array.from({ length: messages }, () => job));
      await queue.close();
      worker = new Worker(
        'push',
        async ({ data: input, id = '' }) => {
          await side.registry.invoke({ cid: id, service: 'bench.sink', input, rawRequest: input });
        },
        { connection, prefix: peerPrefix, concurrency, autorun: false },
      );
      await worker.waitUntilReady();
    },
    async turn() {
      let left = messages;
      const completed = new Promise<void>((resolve) => {
        worker?.on('completed', () => {
          if (--left === 0) resolve();
        });
      });
      const done = calls(sink, messages);
      void worker?.run();
      await Promise.all([done, completed]);
    },
    async after() {
      await worker?.close();
    },
  };
}

function calls(sink: Sink, count: number): Promise<void> {
  return new Promise((resolve) => {
    sink.left = count;
    sink.done = resolve;
  });
}

function sinkService(sink: Sink) {
  return class extends Service {
    handle(): void {
      if (--sink.left === 0) sink.done();
    }
  };
}

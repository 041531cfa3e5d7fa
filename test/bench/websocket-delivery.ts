import { startRedis } from '../support/redis.ts';
import { type Group, median, type Report } from './figure.ts';
import { cpuMs, Helper } from './processes.ts';
import type { DeliveryOrder } from './websocket-delivery-side.ts';
import type { ReadersOrder } from './websocket-readers.ts';

interface Cost {
  readonly perSecond: number;
  /** CPU time of the serving process, and of Redis where it has one, per message, in microseconds. */
  readonly cpuUs: number;
}

interface Side {
  readonly helper: Helper<DeliveryOrder, string>;
  readonly port: number;
  readonly pids: readonly number[];
}

type Readers = Helper<ReadersOrder, number>;

const sockets = 100;

/** Queues of subscribers over WebSockets until they have all of it, against ws alone sending the same. */
export const deliveryGroup: Group = async (report) => {
  const redis = await startRedis();
  const helpers: { stop(): Promise<void> }[] = [];
  const sideOf = async (name: 'ours' | 'bare'): Promise<Side> => {
    const { helper, hello: port } = await Helper.start<DeliveryOrder, string, number>(
      './websocket-delivery-side.js',
      [name, redis.path],
    );
    helpers.push(helper);
    return { helper, port, pids: name === 'bare' ? [helper.pid] : [helper.pid, redis.pid] };
  };
  try {
    const { helper: readers } = await Helper.start<ReadersOrder, number, string>(
      './websocket-readers.js',
    );
    helpers.push(readers);
    const bare = await sideOf('bare');
    const name = `delivery to ${sockets} sockets / ws`;
    await compare(report, name, { readers, bare, ours: await sideOf('ours') });
  } finally {
    for (const helper of helpers.reverse()) await helper.stop();
    await redis.stop();
  }
};

interface Sides {
  readonly readers: Readers;
  readonly ours: Side;
  readonly bare: Side;
}

/** In turns, so that what else the machine does hits both alike; the first one warms up. */
async function compare(report: Report, name: string, sides: Sides): Promise<void> {
  const [rounds, messages] = report.quick ? [1, 10] : [5, 300];
  const costs: { readonly ours: Cost; readonly bare: Cost }[] = [];
  for (let round = report.quick ? 1 : 0; round <= rounds; round++) {
    const bare = await costOf(report, sides.readers, { side: sides.bare, messages });
    const ours = await costOf(report, sides.readers, { side: sides.ours, messages });
    if (round > 0) costs.push({ ours, bare });
  }
  const of = (who: 'ours' | 'bare', what: keyof Cost) =>
    median(costs.map((round) => round[who][what]));
  report.figure({
    name: `${name}, by CPU time`,
    measured: median(costs.map(({ ours, bare }) => bare.cpuUs / ours.cpuUs)),
    unit: 'x',
    goal: { atLeast: 0.5 },
    beside: `${of('ours', 'cpuUs').toFixed(1)} us of Node + Redis, against ${of('bare', 'cpuUs').toFixed(1)}`,
  });
  report.figure({
    name: `${name}, by the clock`,
    measured: median(costs.map(({ ours, bare }) => ours.perSecond / bare.perSecond)),
    unit: 'x',
    goal: { atLeast: 0.5 },
    beside: `${of('ours', 'perSecond').toFixed(0)} messages/s, against ${of('bare', 'perSecond').toFixed(0)}`,
  });
}

async function costOf(
  report: Report,
  readers: Readers,
  { side, messages }: { readonly side: Side; readonly messages: number },
): Promise<Cost> {
  const order = { port: side.port, sockets, messages };
  await readers.ask({ what: 'open', ...order });
  await side.helper.ask({ what: 'fill', messages });
  const before = cpuOf(side);
  const startedAt = performance.now();
  const delivering = side.helper.ask({ what: 'deliver', messages });
  const wrong = await readers.ask({ what: 'read', ...order });
  const ms = performance.now() - startedAt;
  const usedMs = cpuOf(side) - before;
  await delivering;
  await side.helper.ask({ what: 'clear', messages });
  if (wrong > 0) report.error(`${wrong} of ${sockets} sockets got another number of messages`);
  const all = sockets * messages;
  return { perSecond: (all / ms) * 1_000, cpuUs: (usedMs / all) * 1_000 };
}

function cpuOf({ pids }: Side): number {
  return pids.reduce((sum, pid) => sum + cpuMs(pid), 0);
}

import { type Group, median, type Report } from './figure.ts';
import { cpuMs, Helper } from './processes.ts';
import type { SocketAnswer, SocketOrder } from './websocket-client.ts';
import { deliveryGroup } from './websocket-delivery.ts';

interface Sample {
  /** CPU time of the serving process per frame, in microseconds. */
  readonly cpuUs: number;
  readonly perSecond: number;
}

interface Side {
  readonly name: string;
  readonly port: number;
  readonly pid: number;
}

/** The calls of WebSocket channels, and what is delivered over them. */
export const websocketGroup: Group = async (report) => {
  await callGroup(report);
  await deliveryGroup(report);
};

/** Frame -> service -> frame over a WebSocket channel, against ws alone with the same JSON work. */
const callGroup: Group = async (report) => {
  const stops: (() => Promise<void>)[] = [];
  const started = async <Order extends object, Answer, Hello>(
    script: string,
    args: readonly string[] = [],
  ) => {
    const result = await Helper.start<Order, Answer, Hello>(script, args);
    stops.push(() => result.helper.stop());
    return result;
  };
  try {
    const { helper: client } = await started<SocketOrder, SocketAnswer, string>(
      './websocket-client.js',
    );
    const sideOf = async (name: string): Promise<Side> => {
      const { helper, hello } = await started<never, never, number>('./websocket-side.js', [name]);
      return { name, port: hello, pid: helper.pid };
    };
    const [ours, bare] = [await sideOf('ours'), await sideOf('bare')];
    for (const [what, ahead] of [
      ['one at a time', 1],
      ['16 ahead', 16],
    ] as const) {
      await compare(report, `invoke-service / ws echo, ${what}`, (side, ms) =>
        sample(report, side === 'ours' ? ours : bare, {
          client,
          order: { connections: 16, ahead, ms },
        }),
      );
    }
  } finally {
    for (const stop of stops.reverse()) await stop();
  }
};

interface Asking {
  readonly client: Helper<SocketOrder, SocketAnswer>;
  readonly order: Omit<SocketOrder, 'port'>;
}

async function sample(report: Report, side: Side, { client, order }: Asking): Promise<Sample> {
  const before = cpuMs(side.pid);
  const answer = await client.ask({ ...order, port: side.port });
  const usedMs = cpuMs(side.pid) - before;
  if (answer.failed > 0) {
    report.error(`${side.name}: ${answer.failed} failed: ${answer.examples.join(' | ')}`);
  }
  return {
    cpuUs: (usedMs / answer.done) * 1_000,
    perSecond: (answer.done / answer.ms) * 1_000,
  };
}

type Measure = (side: 'ours' | 'bare', ms: number) => Promise<Sample>;

/** In turns, so that what else the machine does hits both alike. */
async function compare(report: Report, name: string, measure: Measure): Promise<void> {
  const [rounds, ms, warmUpMs] = report.quick ? [1, 100, 50] : [9, 1_000, 1_500];
  await measure('bare', warmUpMs);
  await measure('ours', warmUpMs);
  const ours: Sample[] = [];
  const bare: Sample[] = [];
  for (let round = 0; round < rounds; round++) {
    // Turned round, so that nobody always comes after the same one.
    if (round % 2 === 0) ours.push(await measure('ours', ms));
    bare.push(await measure('bare', ms));
    if (round % 2 === 1) ours.push(await measure('ours', ms));
  }
  const ratio = (of: (one: Sample, other: Sample) => number) =>
    median(ours.map((one, at) => of(one, bare[at] as Sample)));
  const cpu = (samples: Sample[]) => median(samples.map(({ cpuUs }) => cpuUs)).toFixed(1);
  const speed = (samples: Sample[]) => median(samples.map((one) => one.perSecond)).toFixed(0);
  report.figure({
    name: `${name}, by CPU time`,
    measured: ratio((one, other) => other.cpuUs / one.cpuUs),
    unit: 'x',
    goal: { atLeast: 0.7 },
    beside: `${cpu(ours)} us a frame, against ${cpu(bare)}`,
  });
  report.figure({
    name: `${name}, by the clock`,
    measured: ratio((one, other) => one.perSecond / other.perSecond),
    unit: 'x',
    goal: { atLeast: 0.7 },
    beside: `${speed(ours)} frames/s, against ${speed(bare)}`,
  });
}

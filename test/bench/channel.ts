import { BenchSystem } from './bench-system.ts';
import { type Group, median, type Report } from './figure.ts';
import type { LoadAnswer, LoadOrder } from './load-client.ts';
import { cpuMs, Helper } from './processes.ts';

const service = `import { Service } from 'hence';
export class Reply extends Service<{ user: string; message: string; subject?: string }> {
  static io = {
    input: { required: ['user', 'message'], optional: ['subject'] },
    output: { required: ['status', 'request'] },
  };
  handle() {
    return { status: 1, request: this.request.input.user };
  }
}
`;
const body = JSON.stringify({ subject: 'Test message', message: 'test', user: 'sean' });
const expected = JSON.stringify({ status: 1, request: 'sean' });
const manyChannels = 10_000;
const fewChannels = 200;
const pathsAsked = 500;

type Client = Helper<LoadOrder, LoadAnswer>;

interface Subject {
  readonly port: number;
  /** Where the requests are served; its CPU time is what is compared. */
  readonly pid: number;
  readonly paths: readonly string[];
}

interface Sample {
  /** CPU time of the serving process per request, in microseconds. */
  readonly cpuUs: number;
  readonly perSecond: number;
}

/** Channel -> service -> JSON reply, against a koa handler that does the same with nothing around it. */
export const channelGroup: Group = async (report) => {
  const stops: (() => Promise<void>)[] = [];
  try {
    const { helper: client } = await started<LoadOrder, LoadAnswer, string>('./load-client.js');
    const { helper: koa, hello: koaPort } = await started<never, never, number>('./bare-koa.js');
    const quiet = await systemOf(2, 'info');
    const traced = await systemOf(2, 'debug');
    const wide = await systemOf(report.quick ? fewChannels : manyChannels, 'info');
    const subjects = {
      bare: { port: koaPort, pid: koa.pid, paths: ['/'] },
      quiet: { ...quiet, paths: ['/exact/0'] },
      traced: { ...traced, paths: ['/exact/0'] },
      param: { ...quiet, paths: ['/param0/77'] },
      wideExact: { ...wide, paths: somePaths(wide.channels, (at) => `/exact/${at}`) },
      wideParam: { ...wide, paths: somePaths(wide.channels, (at) => `/param${at}/77`) },
    } satisfies Record<string, Subject>;
    conclude(report, await measure(report, client, subjects));
  } finally {
    for (const stop of stops.reverse()) await stop();
  }

  async function started<Order extends object, Answer, Hello>(script: string) {
    const result = await Helper.start<Order, Answer, Hello>(script);
    stops.push(() => result.helper.stop());
    return result;
  }

  async function systemOf(channels: number, level: string) {
    const system = await BenchSystem.start({
      services: { 'bench.ts': service },
      yaml: yamlOf(channels),
      workers: 1,
      args: ['--log-level', level],
    });
    stops.push(() => system.stop());
    const [worker] = await system.serving();
    return { port: system.port, pid: worker?.pid ?? 0, channels };
  }
};

/** Half of them exact, half with a param. */
function yamlOf(channels: number): string {
  const lines = ['channels:'];
  for (let at = 0; at < channels / 2; at++) {
    lines.push(`  exact-${at}: { path: /exact/${at}, service: bench.reply }`);
    lines.push(`  param-${at}: { path: '/param${at}/{id}', service: bench.reply }`);
  }
  return `${lines.join('\n')}\n`;
}

function somePaths(channels: number, path: (at: number) => string): readonly string[] {
  const step = Math.max(1, Math.floor(channels / 2 / pathsAsked));
  const paths: string[] = [];
  for (let at = 0; at < channels / 2; at += step) paths.push(path(at));
  return paths;
}

type Samples<Name extends string> = Record<Name, Sample[]>;

/** In turns, so that what else the machine does hits all alike. */
async function measure<Name extends string>(
  report: Report,
  client: Client,
  subjects: Record<Name, Subject>,
): Promise<Samples<Name>> {
  const [rounds, ms, warmUpMs] = report.quick ? [1, 100, 50] : [11, 1_200, 2_000];
  const entries = Object.entries(subjects) as [Name, Subject][];
  const samples = Object.fromEntries(entries.map(([name]) => [name, [] as Sample[]]));
  for (const [name, subject] of entries) await sample(name, subject, warmUpMs);
  for (let round = 0; round < rounds; round++) {
    // Turned round, so that nobody always comes after the same one.
    const order = round % 2 === 0 ? entries : entries.toReversed();
    for (const [name, subject] of order) {
      samples[name]?.push(await sample(name, subject, ms));
    }
  }
  return samples as Samples<Name>;

  async function sample(name: Name, subject: Subject, forMs: number): Promise<Sample> {
    const { port, pid, paths } = subject;
    const before = cpuMs(pid);
    const answer = await client.ask({ port, paths, body, expected, connections: 48, ms: forMs });
    const usedMs = cpuMs(pid) - before;
    if (answer.failed > 0) {
      report.error(`channel ${name}: ${answer.failed} failed: ${answer.examples.join(' | ')}`);
    }
    return {
      cpuUs: (usedMs / answer.done) * 1_000,
      perSecond: (answer.done / answer.ms) * 1_000,
    };
  }
}

type SubjectName = 'bare' | 'quiet' | 'traced' | 'param' | 'wideExact' | 'wideParam';

function conclude(report: Report, samples: Samples<SubjectName>): void {
  const compare = (what: string, ours: SubjectName, base: SubjectName, atLeast: number) => {
    const both = samples[ours].map((sample, round) => [sample, samples[base][round]] as const);
    const ratio = (of: (one: Sample, other: Sample) => number) =>
      median(both.map(([one, other]) => (other ? of(one, other) : Number.NaN)));
    const cpu = (name: SubjectName) => median(samples[name].map(({ cpuUs }) => cpuUs)).toFixed(0);
    const speed = (name: SubjectName) =>
      median(samples[name].map(({ perSecond }) => perSecond)).toFixed(0);
    report.figure({
      name: `${what}, by CPU time`,
      measured: ratio((one, other) => other.cpuUs / one.cpuUs),
      unit: 'x',
      goal: { atLeast },
      beside: `${cpu(ours)} us a request, against ${cpu(base)}`,
    });
    report.figure({
      name: `${what}, by the clock`,
      measured: ratio((one, other) => one.perSecond / other.perSecond),
      unit: 'x',
      goal: { atLeast },
      beside: `${speed(ours)} requests/s, against ${speed(base)}`,
    });
  };
  compare('channel / koa, request lines off', 'quiet', 'bare', 0.9);
  compare('channel / koa, request lines on', 'traced', 'bare', 0.7);
  const many = (report.quick ? fewChannels : manyChannels).toLocaleString('en');
  compare(`${many} channels / 2, exact paths`, 'wideExact', 'quiet', 0.95);
  compare(`${many} channels / 2, {param} paths`, 'wideParam', 'param', 0.95);
}

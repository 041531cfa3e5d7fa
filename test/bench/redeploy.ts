import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import type { ServiceView } from '../../runtime/admin/api.ts';
import type { DeployReport } from '../../runtime/deploy/unit.ts';
import { isAlive } from '../support/process.ts';
import { until } from '../support/until.ts';
import { BenchSystem } from './bench-system.ts';
import { type Group, median, quantile, type Report } from './figure.ts';
import { Helper } from './processes.ts';
import type { RedeployAnswer, RedeployOrder } from './redeploy-client.ts';

const connections = 50;
const redeploys = 3_000;
/** Longer than that is not waited for: the figure then tells how many there were. */
const longestMs = 100_000;
/** The helper is edited each so many redeploys. */
const helperEvery = 20;
const mebibyte = 1024 * 1024;

/** One service redeployed again and again under load: here, and on the other Nodes that are found. */
export const redeployGroup: Group = async (report) => {
  report.note(`node ${process.versions.node}`);
  await redeployHere(report);
  if (process.env['HENCE_BENCH_CHILD'] !== undefined) return;
  for (const node of otherNodes(process.env)) await redeployOn(node, report);
};

async function redeployHere(report: Report): Promise<void> {
  const system = await BenchSystem.start({
    services: { 'helper.ts': helperText(0), 'turn.ts': serviceText(0) },
    yaml: 'channels: { turn: { path: /turn, service: turn.turn } }\n',
    workers: 2,
    heap: true,
  });
  try {
    const { helper: client } = await Helper.start<RedeployOrder, unknown, string>(
      './redeploy-client.js',
    );
    try {
      await redeployUnderLoad(report, system, client);
    } finally {
      await client.stop();
    }
  } finally {
    await system.stop();
  }
}

async function redeployUnderLoad(
  report: Report,
  system: BenchSystem,
  client: Helper<RedeployOrder, unknown>,
): Promise<void> {
  const [count, warmUp] = report.quick ? [30, 5] : [redeploys, 200];
  const line = new RedeployLine(system);
  await client.ask({ start: { url: `${system.url}/turn`, connections } });
  await line.run(warmUp);
  const workers = await system.serving();
  const before = await heaps(system);
  const startedAt = performance.now();
  const times = await line.run(count);
  const tookS = (performance.now() - startedAt) / 1_000;
  const after = await heaps(system);
  const answer = (await client.ask({ stop: true })) as RedeployAnswer;
  const pidsBefore = workers.map(({ pid }) => pid).join();
  if ((await system.serving()).map(({ pid }) => pid).join() !== pidsBefore) {
    report.error('a worker was replaced');
  }
  if (answer.failed + answer.mixed + answer.older > 0) report.error(answer.examples.join(' | '));
  if (times.length < count) report.note(`only ${times.length} of ${count} redeploys in time`);
  const beside = `of ${answer.replies} on ${connections} connections, ${times.length} redeploys in ${tookS.toFixed(0)} s, p50 ${median(times).toFixed(1)} ms, p99 ${quantile(times, 0.99).toFixed(1)} ms`;
  const none = { unit: '', goal: { atMost: 0 } } as const;
  report.figure({ name: 'failed replies', measured: answer.failed, ...none, beside });
  report.figure({ name: 'mixed replies', measured: answer.mixed, ...none });
  report.figure({ name: 'replies older than the one before', measured: answer.older, ...none });
  report.figure({
    name: 'heap growth of a worker after gc',
    measured: Math.max(...after.map((bytes, at) => bytes - (before[at] ?? 0))) / mebibyte,
    unit: 'MB',
    goal: { atMost: 5 },
    beside: `${before.map(shown).join(', ')} MB before, ${after.map(shown).join(', ')} MB after`,
  });
  // One heartbeat later the workers tell how many are left.
  const retired = await until(async () => {
    const alive = (await system.serving()).map(({ retiredAlive }) => retiredAlive);
    return Math.max(...alive) <= 1 ? { alive } : undefined;
  }, 3_000).catch(async () => ({
    alive: (await system.serving()).map(({ retiredAlive }) => retiredAlive),
  }));
  report.figure({
    name: 'retired versions reachable in a worker',
    measured: Math.max(...retired.alive),
    unit: '',
    goal: { atMost: 1 },
  });
}

/** Puts one new version after another, and waits for each to serve. */
class RedeployLine {
  readonly #system: BenchSystem;
  #version = 0;
  #helper = 0;
  /** As the system counts. */
  #deployed = 1;

  constructor(system: BenchSystem) {
    this.#system = system;
  }

  async run(count: number): Promise<readonly number[]> {
    const deadline = performance.now() + longestMs;
    const times: number[] = [];
    while (times.length < count && performance.now() < deadline) {
      const startedAt = performance.now();
      await this.#redeploy();
      times.push(performance.now() - startedAt);
    }
    return times;
  }

  async #redeploy(): Promise<void> {
    this.#version++;
    if (this.#version % helperEvery === 0) {
      this.#helper++;
      await this.#put('helper.ts', helperText(this.#helper));
    }
    await this.#put('turn.ts', serviceText(this.#version));
  }

  async #put(file: string, text: string): Promise<void> {
    const { deployed, failures } = await this.#system.admin<DeployReport>(
      'PUT',
      `/api/files/${file}`,
      text,
    );
    const own = deployed.find(({ name }) => name === 'turn.turn') ?? (await this.#shown());
    if (failures.length > 0 || own.version <= this.#deployed) {
      throw new Error(`${file} was not deployed: ${JSON.stringify(failures)}`);
    }
    this.#deployed = own.version;
  }

  /** Also when the watcher was faster: then the upload finds nothing left to deploy. */
  #shown(): Promise<ServiceView> {
    return this.#system.admin('GET', '/api/services/turn.turn');
  }
}

/** Of each serving worker, in bytes. */
async function heaps(system: BenchSystem): Promise<readonly number[]> {
  const workers = await system.serving();
  return Promise.all(workers.map(({ pid }) => system.heapAfterGc(pid)));
}

function shown(bytes: number): string {
  return (bytes / mebibyte).toFixed(1);
}

function helperText(version: number): string {
  return `export const version = ${version};
export const seen = () => version;
`;
}

/** Its await takes 1 to 40 ms, so that redeploys come in the middle of calls. */
function serviceText(version: number): string {
  const filler = Array.from(
    { length: 60 },
    (_, at) => `const table${at}: readonly string[] = ['${version}-${at}', 'value of the table'];`,
  );
  return `import { Service } from 'hence';
import { setTimeout as pause } from 'node:timers/promises';
import { seen, version as helper } from './helper.ts';

${filler.join('\n')}
const loadedWith = helper;

export class Turn extends Service {
  static version = ${version};

  #versions() {
    return [Turn.version, loadedWith, seen()];
  }

  async handle() {
    const before = this.#versions();
    await pause(1 + Math.floor(Math.random() * 40));
    return { before, after: this.#versions(), rows: ${filler.map((_, at) => `table${at}.length`).join(' + ')} };
  }
}
`;
}

interface OtherNode {
  readonly path: string;
  readonly dir: string;
}

/**
 * In the folders of HENCE_BENCH_NODES and PATH: `node22` and `node24`, and the `node` of folders
 * that were named.
 */
function otherNodes(env: NodeJS.ProcessEnv): readonly OtherNode[] {
  const named = (env['HENCE_BENCH_NODES'] ?? '').split(delimiter).filter(Boolean);
  const path = (env['PATH'] ?? '').split(delimiter).filter(Boolean);
  return [
    ...named.flatMap((dir) => programs(dir, /^node(22|24)?$/)),
    ...path.flatMap((dir) => programs(dir, /^node(22|24)$/)),
  ];
}

function programs(dir: string, name: RegExp): readonly OtherNode[] {
  try {
    const found = readdirSync(dir).filter((file) => name.test(file));
    return found.map((file) => ({ path: join(dir, file), dir }));
  } catch {
    return []; // a folder of PATH that is not there
  }
}

/** The whole again in that Node: its lines are passed on, its errors are ours. */
async function redeployOn({ path }: OtherNode, report: Report): Promise<void> {
  const main = fileURLToPath(new URL('./main.js', import.meta.url));
  const flags = report.quick ? ['--quick'] : [];
  const child = spawn(path, [main, 'redeploy', ...flags], {
    env: { ...process.env, HENCE_BENCH_CHILD: '1' },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let said = '';
  child.stdout.on('data', (bytes) => {
    said += String(bytes);
  });
  const killer = setTimeout(() => {
    if (isAlive(child.pid)) child.kill('SIGTERM');
  }, longestMs * 1.5);
  const [code] = (await once(child, 'close')) as [number | null];
  clearTimeout(killer);
  for (const line of said.split('\n')) {
    if (/goal [<>]=|^ +(node|only) |^ERROR/.test(line)) report.note(line.trim());
  }
  if (code !== 0) report.error(`${path} ended with ${code}`);
}

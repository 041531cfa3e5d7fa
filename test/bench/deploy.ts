import { rm } from 'node:fs/promises';
import { Agent } from 'node:http';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { build } from 'esbuild';
import { ask } from '../support/load.ts';
import { makeProject } from '../support/system.ts';
import { until } from '../support/until.ts';
import { BenchSystem } from './bench-system.ts';
import { type Group, median, quantile, type Report } from './figure.ts';

const quietWindowMs = 20;
const workers = 2;
const liveWithinMs = 10_000;

interface Seen {
  readonly pid: number;
  /** Version -> how many services answer it. */
  readonly versions: Readonly<Record<string, number>>;
}

/** From a save to the moment every worker serves it. */
export const deployGroup: Group = async (report) => {
  const many = report.quick ? 20 : 500;
  const small = await Probed.start(1);
  let large: Probed | undefined;
  try {
    large = await Probed.start(many);
    const soloMs = await measureSaves(report, { small, large, many });
    await measureHelper(report, large, soloMs);
    const { dir } = large;
    await large.end();
    await measureWarmStart(report, dir, many);
  } finally {
    await small.stop();
    await large?.stop();
  }
};

async function measureSaves(
  report: Report,
  { small, large, many }: { readonly small: Probed; readonly large: Probed; readonly many: number },
): Promise<number> {
  const rounds = report.quick ? 3 : 100;
  const times = { small: [] as number[], large: [] as number[], bare: [] as number[] };
  for (let round = -2; round < rounds; round++) {
    const text = serviceText(0, `v${round + 10}`);
    const smallMs = await small.savedToLive('services/s0.ts', text, `v${round + 10}`);
    const bareMs = await bareBuildMs(join(small.dir, 'services', 's0.ts'));
    const largeMs = await large.savedToLive('services/s0.ts', text, `v${round + 10}`);
    if (round < 0) continue; // warming up
    times.small.push(smallMs);
    times.bare.push(bareMs);
    times.large.push(largeMs);
  }
  const bareMs = median(times.bare);
  const soloMs = median(times.small);
  const largeMs = median(times.large);
  const budgetMs = quietWindowMs + bareMs;
  report.figure({
    name: 'save -> live / (20 ms + bare build), median',
    measured: soloMs / budgetMs,
    unit: 'x',
    goal: { atMost: 3 },
    beside: `${soloMs.toFixed(1)} ms on ${workers} workers, a bare build ${bareMs.toFixed(1)} ms`,
  });
  report.figure({
    name: 'save -> live, p99 / median',
    measured: quantile(times.small, 0.99) / soloMs,
    unit: 'x',
    goal: { atMost: 3 },
    beside: `p99 ${quantile(times.small, 0.99).toFixed(1)} ms, longest ${Math.max(...times.small).toFixed(1)} ms of ${rounds}`,
  });
  report.figure({
    name: `save -> live, ${many} services / 1, median`,
    measured: largeMs / soloMs,
    unit: 'x',
    goal: { atMost: 1.2 },
    beside: `${largeMs.toFixed(1)} ms, p99 ${quantile(times.large, 0.99).toFixed(1)} ms`,
  });
  return soloMs;
}

async function measureHelper(report: Report, large: Probed, soloMs: number): Promise<void> {
  const times: number[] = [];
  const stalls: number[] = [];
  const latencies: number[] = [];
  for (let round = 0; round < (report.quick ? 1 : 7); round++) {
    await large.calm();
    const watch = large.watch();
    times.push(await large.savedToLive('services/helper.ts', helperText(`h${round}`), `h${round}`));
    const { stallMs, latencyMs } = await watch.stop();
    stalls.push(stallMs);
    latencies.push(latencyMs);
  }
  const ms = median(times);
  report.figure({
    name: `helper of ${large.services} services / one service`,
    measured: ms / soloMs,
    unit: 'x',
    goal: { atMost: 10 },
    beside: `${ms.toFixed(0)} ms, longest ${Math.max(...times).toFixed(0)} ms`,
  });
  report.figure({
    name: 'helper edit: longest event-loop stall, median',
    measured: median(stalls),
    unit: 'ms',
    goal: { atMost: 50 },
    beside: `worst ${Math.max(...stalls).toFixed(0)} ms, by the workers' heartbeats; slowest request seen from outside ${median(latencies).toFixed(0)} ms, worst ${Math.max(...latencies).toFixed(0)} ms`,
  });
}

async function measureWarmStart(report: Report, dir: string, many: number): Promise<void> {
  const times: number[] = [];
  for (let round = 0; round < (report.quick ? 1 : 4); round++) {
    const startedAt = performance.now();
    const system = await BenchSystem.start({
      dir,
      workers,
      until: async (url) => (await ask(`${url}/s0`).catch(() => undefined))?.status === 200,
    });
    times.push(performance.now() - startedAt);
    const { services } = await system.status();
    if (services.deployed < many)
      report.error(`${services.deployed} of ${many} services are there`);
    await system.end();
  }
  report.figure({
    name: `start with ${many} services, warm cache`,
    measured: median(times),
    unit: 'ms',
    goal: { atMost: 3_000 },
    beside: `to the first served request, ${workers} workers`,
  });
}

async function bareBuildMs(file: string): Promise<number> {
  const startedAt = performance.now();
  await build({
    entryPoints: [file],
    bundle: true,
    write: false,
    format: 'cjs',
    platform: 'node',
    external: ['hence', './*'],
    logLevel: 'silent',
  });
  return performance.now() - startedAt;
}

/** A system asked on one connection per worker. */
class Probed {
  readonly dir: string;
  readonly services: number;
  readonly #system: BenchSystem;
  readonly #agents: readonly Agent[];
  #ended = false;

  static async start(services: number): Promise<Probed> {
    const dir = await makeProject({ services: filesOf(services), yaml });
    const system = await BenchSystem.start({ dir, workers });
    const agents = await until(() => agentPerWorker(system));
    return new Probed(system, agents, services);
  }

  private constructor(system: BenchSystem, agents: readonly Agent[], services: number) {
    this.dir = system.dir;
    this.services = services;
    this.#system = system;
    this.#agents = agents;
  }

  /** From before the write until each worker has answered with the new version alone. */
  async savedToLive(file: string, text: string, version: string): Promise<number> {
    await this.calm();
    const startedAt = performance.now();
    await this.#system.save(file, text);
    const isHelper = file.endsWith('helper.ts');
    await Promise.all(
      this.#agents.map(async (agent) => {
        await this.#lives(agent, '/s0', version);
        // Asking all takes a while: not before there is reason to.
        if (isHelper) await this.#lives(agent, '/all', version);
      }),
    );
    return performance.now() - startedAt;
  }

  /** What the last change still does is over: the second look at a file comes 60 ms after the first. */
  calm(): Promise<void> {
    return pause(120);
  }

  /** Asks all the time, and keeps the slowest reply and the longest stall that a worker tells of. */
  watch(): { stop(): Promise<{ stallMs: number; latencyMs: number }> } {
    let running = true;
    let latencyMs = 0;
    const asking = this.#agents.map(async (agent) => {
      const own = new Agent({ keepAlive: true, maxSockets: 1 });
      while (running) {
        const startedAt = performance.now();
        await ask(`${this.#system.url}/s0`, own);
        latencyMs = Math.max(latencyMs, performance.now() - startedAt);
        await pause(2);
      }
      own.destroy();
      return agent;
    });
    return {
      stop: async () => {
        running = false;
        await Promise.all(asking);
        // Workers tell each second.
        await pause(1_100);
        const stalls = (await this.#system.serving()).map(({ stallMs }) => stallMs);
        return { latencyMs, stallMs: Math.max(...stalls) };
      },
    };
  }

  async end(): Promise<void> {
    this.#ended = true;
    for (const agent of this.#agents) agent.destroy();
    await this.#system.end();
  }

  async stop(): Promise<void> {
    if (!this.#ended) await this.end();
    await rm(this.dir, { recursive: true, force: true, maxRetries: 5 });
  }

  async #lives(agent: Agent, path: string, version: string): Promise<void> {
    const deadline = performance.now() + liveWithinMs;
    for (;;) {
      const reply = await ask(this.#system.url + path, agent);
      if (reply.status !== 200) throw new Error(`${path}: ${reply.status} ${reply.body}`);
      const { versions } = JSON.parse(reply.body) as Seen;
      const expected = path === '/all' ? this.services : 1;
      if (versions[version] === expected) return;
      if (performance.now() > deadline) {
        throw new Error(`${version} is not live after ${liveWithinMs} ms: ${reply.body}`);
      }
      await pause(1);
    }
  }
}

/** Connections stay with the worker that took them; undefined when chance gave none to one. */
async function agentPerWorker(system: BenchSystem): Promise<readonly Agent[] | undefined> {
  const byPid = new Map<number, Agent>();
  for (let tries = 0; tries < 20 && byPid.size < workers; tries++) {
    const opened = Array.from({ length: 8 }, () => new Agent({ keepAlive: true, maxSockets: 1 }));
    await Promise.all(
      opened.map(async (agent) => {
        const { pid } = JSON.parse((await ask(`${system.url}/s0`, agent)).body) as Seen;
        if (byPid.has(pid)) agent.destroy();
        else byPid.set(pid, agent);
      }),
    );
  }
  if (byPid.size === workers) return [...byPid.values()];
  for (const agent of byPid.values()) agent.destroy();
  return undefined;
}

const yaml = `channels:
  s0: { path: /s0, service: s0.s0 }
  all: { path: /all, service: all.all }
`;

function filesOf(services: number): Readonly<Record<string, string>> {
  const files: Record<string, string> = {
    'helper.ts': helperText('h'),
    'all.ts': allText(services),
  };
  for (let at = 0; at < services; at++) files[`s${at}.ts`] = serviceText(at, 'v');
  return files;
}

function helperText(version: string): string {
  return `export const version = '${version}';
export function total(prices: readonly number[]): number {
  return prices.reduce((sum, price) => sum + price, 0);
}
`;
}

/** About 60 lines, as services are. */
function serviceText(at: number, version: string): string {
  const methods = Array.from(
    { length: 10 },
    (
      _,
      index,
    ) => `  #step${index}(input: { readonly price: number; readonly pieces: number }): number {
    const { price, pieces } = input;
    if (pieces < ${index}) return price;
    return total([price, pieces, ${index}, ${at}]);
  }
`,
  );
  return `import { Service } from 'hence';
import { total, version as helperVersion } from './helper.ts';

const version: string = '${version}';
const sample = { price: 1, pieces: 2 };

export class S${at} extends Service<{ helper?: boolean }> {
  static io = { input: ['-helper'] };

  handle() {
    if (this.request.input.helper) return { version: helperVersion };
    return { pid: process.pid, versions: { [version]: 1, [helperVersion]: 1 }, total: this.#step0(sample) };
  }

${methods.join('\n')}}
`;
}

/** Asks every service for the version of the helper that it was loaded with. */
function allText(services: number): string {
  return `import { Service } from 'hence';

export class All extends Service {
  async handle() {
    const versions: Record<string, number> = {};
    for (let at = 0; at < ${services}; at++) {
      const { version } = await this.invoke<{ version: string }>(\`s\${at}.s\${at}\`, { helper: true });
      versions[version] = (versions[version] ?? 0) + 1;
    }
    return { pid: process.pid, versions };
  }
}
`;
}

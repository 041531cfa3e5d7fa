import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { ask } from '../support/load.ts';
import { root } from '../support/root.ts';
import { makeProject, plainEnv } from '../support/system.ts';
import { BenchSystem, end, hence, launch } from './bench-system.ts';
import { type Group, median, type Report } from './figure.ts';

const hello = `import { Service } from 'hence';
export class World extends Service { handle() { return { hello: 'world' }; } }
`;
const yaml = 'channels: { hello: { path: /hello, service: hello.world } }\n';
const answer = '{"hello":"world"}';
const servedWithinMs = 30_000;

/** What a person waits for: a command, and a start up to the first request that is served. */
export const startGroup: Group = async (report) => {
  await measureCli(report);
  await measureStart(report);
  // It builds when the build is old: not while tests run from it.
  if (!report.quick) await measureNpmStart(report);
};

async function measureCli(report: Report): Promise<void> {
  const linked = join(root, 'node_modules', '.bin', 'hence');
  const commands: Readonly<Record<string, readonly string[]>> = {
    bare: [process.execPath, '-e', '0'],
    script: [process.execPath, hence, 'status'],
    ...(existsSync(linked) ? { linked: [linked, 'status'] } : {}),
  };
  const system = await BenchSystem.start({ services: { 'hello.ts': hello }, yaml, workers: 1 });
  const times = await timesOf(report, commands, system.dir).finally(() => system.stop());
  const bareMs = median(times['bare'] ?? []);
  const shown = {
    script: 'hence status (node admin-cli/hence.mjs)',
    linked: 'hence status (.bin)',
  };
  for (const [name, what] of Object.entries(shown)) {
    const samples = times[name];
    if (samples === undefined) continue;
    const ms = median(samples);
    report.figure({
      name: what,
      measured: ms,
      unit: 'ms',
      goal: { atMost: 250 },
      beside: `${(ms / bareMs).toFixed(1)} x node -e 0, which takes ${bareMs.toFixed(0)} ms`,
    });
  }
}

/** In turns, without the first of each, which reads the disk for all that follow. */
async function timesOf(
  report: Report,
  commands: Readonly<Record<string, readonly string[]>>,
  cwd: string,
): Promise<Readonly<Record<string, readonly number[]>>> {
  const times: Record<string, number[]> = {};
  for (let round = 0; round < (report.quick ? 2 : 15); round++) {
    for (const [name, command] of Object.entries(commands)) {
      const { ms, code } = await timed(command, cwd);
      if (code !== 0) report.error(`${command.join(' ')} ended with ${code}`);
      if (round > 0) times[name] = [...(times[name] ?? []), ms];
    }
  }
  return times;
}

async function timed(
  [program = '', ...args]: readonly string[],
  cwd: string,
): Promise<{ readonly ms: number; readonly code: number | null }> {
  const startedAt = performance.now();
  const child = spawn(program, args, { cwd, env: plainEnv(), stdio: 'ignore' });
  const [code] = (await once(child, 'exit')) as [number | null];
  return { ms: performance.now() - startedAt, code };
}

async function measureStart(report: Report): Promise<void> {
  const first: number[] = [];
  const again: number[] = [];
  for (let round = 0; round < (report.quick ? 1 : 5); round++) {
    const dir = await makeProject({ services: { 'hello.ts': hello }, yaml });
    try {
      first.push(await servedAfter(report, dir));
      again.push(await servedAfter(report, dir));
    } finally {
      await rm(dir, { recursive: true, force: true, maxRetries: 5 });
    }
  }
  report.figure({
    name: 'start to the first served request',
    measured: median(first),
    unit: 'ms',
    goal: { atMost: 2_000 },
    beside: `in an empty project, its Redis included; the second start ${median(again).toFixed(0)} ms`,
  });
}

async function servedAfter(report: Report, dir: string): Promise<number> {
  const port = await freePort();
  const startedAt = performance.now();
  const child = launch(dir, { workers: 1, args: ['--port', String(port)] });
  try {
    await served(report, child, port);
    return performance.now() - startedAt;
  } finally {
    await end(child, dir);
  }
}

/** Everything of one's own but the code: the repository is the project, its data is elsewhere. */
async function measureNpmStart(report: Report): Promise<void> {
  const dir = await mkdtemp(join(tmpdir(), 'hence-bench-'));
  const times: number[] = [];
  try {
    // The first one may have to build.
    for (let round = 0; round < 4; round++) {
      const port = await freePort();
      const data = join(dir, `${round}`, '.hence');
      const startedAt = performance.now();
      const flags = ['--port', `${port}`, '--admin-port', '0', '--workers', '1', '--data', data];
      const child = spawn('npm', ['start', '--', ...flags], {
        cwd: root,
        env: plainEnv(),
        // npm does not pass a signal on to what it runs.
        detached: true,
        stdio: 'ignore',
      });
      try {
        await served(report, child, port, '/hello?name=world');
        times.push(performance.now() - startedAt);
      } finally {
        await end(child, join(dir, `${round}`));
      }
    }
  } finally {
    await rm(dir, { recursive: true, force: true, maxRetries: 5 });
  }
  const ms = median(times.slice(1));
  report.note(
    `npm start to the first served request: ${ms.toFixed(0)} ms, npm and prestart included`,
  );
}

async function served(
  report: Report,
  child: ChildProcess,
  port: number,
  path = '/hello',
): Promise<void> {
  const deadline = performance.now() + servedWithinMs;
  while (performance.now() < deadline && child.exitCode === null) {
    const reply = await ask(`http://127.0.0.1:${port}${path}`).catch(() => undefined);
    if (reply !== undefined) {
      if (reply.status !== 200 || reply.body !== answer) {
        report.error(`the first reply was ${reply.status} ${reply.body}`);
      }
      return;
    }
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
  throw new Error(`Nothing served in ${servedWithinMs} ms, or the system ended`);
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  return typeof address === 'object' && address !== null ? address.port : 0;
}

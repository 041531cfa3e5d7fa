import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync, rmSync } from 'node:fs';
import { readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import process from 'node:process';
import { Pool } from 'undici';
import type { Status } from '../../runtime/admin/api.ts';
import { isAlive } from '../support/process.ts';
import { root } from '../support/root.ts';
import { makeProject, plainEnv, type SystemOptions } from '../support/system.ts';
import { until } from '../support/until.ts';

interface BenchOptions extends Pick<SystemOptions, 'services' | 'yaml' | 'dir'> {
  readonly workers: number;
  readonly args?: readonly string[];
  /** Lets `heapAfterGc` be asked. */
  readonly heap?: boolean;
  /** Started when this is true of the channels' URL; otherwise when all workers are there. */
  readonly until?: (url: string) => Promise<boolean>;
}

export const hence = join(root, 'admin-cli', 'hence.mjs');
const startMs = 30_000;
const stopMs = 15_000;

/** A real `hence start` whose output goes to a file: reading it would cost the bench's own process. */
export class BenchSystem {
  readonly dir: string;
  readonly url: string;
  readonly #child: ChildProcess;
  readonly #admin: Pool;
  readonly #token: string;

  static async start(options: BenchOptions): Promise<BenchSystem> {
    const dir = options.dir ?? (await makeProject(options));
    const child = launch(dir, options);
    try {
      const status = await until(async () => {
        if (child.exitCode !== null) throw new Error(`hence ended: ${logOf(dir)}`);
        return statusWhen(dir, options.until);
      }, startMs);
      return new BenchSystem(dir, child, status.channelsUrl);
    } catch (error) {
      await end(child, dir);
      await rm(dir, { recursive: true, force: true, maxRetries: 5 });
      throw error;
    }
  }

  private constructor(dir: string, child: ChildProcess, url: string) {
    const { url: adminUrl, token } = accessOf(dir);
    this.dir = dir;
    this.url = url;
    this.#child = child;
    this.#token = token;
    this.#admin = new Pool(adminUrl, { connections: 4 });
  }

  get port(): number {
    return Number(new URL(this.url).port);
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  async admin<T>(method: 'GET' | 'PUT', path: string, body?: string): Promise<T> {
    const { statusCode, body: reply } = await this.#admin.request({
      method,
      path,
      headers: {
        authorization: `Bearer ${this.#token}`,
        ...(body === undefined ? {} : { 'content-type': 'text/plain' }),
      },
      ...(body === undefined ? {} : { body }),
    });
    const text = await reply.text();
    if (statusCode !== 200) throw new Error(`${method} ${path}: ${statusCode} ${text}`);
    return JSON.parse(text) as T;
  }

  status(): Promise<Status> {
    return this.admin('GET', '/api/status');
  }

  async serving(): Promise<Status['workers']> {
    return (await this.status()).workers.filter(({ state }) => state === 'serving');
  }

  /** Saves a file of the project as an editor does that writes aside and renames. */
  async save(file: string, text: string): Promise<void> {
    const path = join(this.dir, file);
    await writeFile(`${path}.tmp~`, text);
    await rename(`${path}.tmp~`, path);
  }

  /** Bytes in use in a process of the system once garbage is gone. */
  async heapAfterGc(pid: number): Promise<number> {
    const file = join(heapFolder(this.dir), `${pid}.json`);
    rmSync(file, { force: true });
    process.kill(pid, 'SIGWINCH');
    const text = await until(() => readFile(file, 'utf8').catch(() => undefined), 10_000);
    return (JSON.parse(text) as { heapUsed: number }).heapUsed;
  }

  log(): string {
    return logOf(this.dir);
  }

  /** Ends it; the project stays. */
  async end(): Promise<void> {
    await this.#admin.close();
    await end(this.#child, this.dir);
  }

  async stop(): Promise<void> {
    await this.end();
    await rm(this.dir, { recursive: true, force: true, maxRetries: 5 });
  }
}

export function launch(
  dir: string,
  { workers, args = [], heap = false }: BenchOptions,
): ChildProcess {
  const output = openSync(join(dir, 'hence.log'), 'a');
  const ports = ['--port', '--admin-port']
    .filter((flag) => !args.includes(flag))
    .flatMap((flag) => [flag, '0']);
  const preload = new URL('./preload.js', import.meta.url).href;
  const env = plainEnv(
    heap ? { HENCE_BENCH_HEAP: heapFolder(dir), NODE_OPTIONS: `--import ${preload}` } : {},
  );
  const words = ['--log-format', 'json', '--workers', String(workers), ...ports, ...args];
  const child = spawn(process.execPath, [hence, 'start', ...words], {
    cwd: dir,
    env,
    detached: true,
    stdio: ['ignore', output, output],
  });
  closeSync(output);
  return child;
}

/** Ends a system that was started detached, and its Redis, however they are. */
export async function end(child: ChildProcess, dir: string): Promise<void> {
  const redis = Number(
    await readFile(join(dir, '.hence', 'redis', 'redis.pid'), 'utf8').catch(() => '0'),
  );
  signalGroup(child, 'SIGTERM');
  await until(() => !signalGroup(child, 0), stopMs).catch(() => signalGroup(child, 'SIGKILL'));
  if (redis > 0 && isAlive(redis)) process.kill(redis, 'SIGKILL');
}

/** All that a detached child started and that did not leave its group; false when none is left. */
function signalGroup({ pid }: ChildProcess, signal: NodeJS.Signals | 0): boolean {
  try {
    if (pid !== undefined) process.kill(-pid, signal);
    return pid !== undefined;
  } catch {
    return false;
  }
}

async function statusWhen(dir: string, check: BenchOptions['until']): Promise<Status | undefined> {
  try {
    const { url, token } = accessOf(dir);
    const reply = await fetch(`${url}/api/status`, {
      headers: { authorization: `Bearer ${token}` },
    });
    const status = (await reply.json()) as Status;
    if (!status.ready) return undefined;
    if (check) return (await check(status.channelsUrl)) ? status : undefined;
    return status.workers.some(({ state }) => state === 'standby') ? status : undefined;
  } catch {
    return undefined; // it is not there yet
  }
}

function accessOf(dir: string): { readonly url: string; readonly token: string } {
  return JSON.parse(readFileSync(join(dir, '.hence', 'admin.json'), 'utf8')) as {
    url: string;
    token: string;
  };
}

function heapFolder(dir: string): string {
  return join(dir, 'heap');
}

function logOf(dir: string): string {
  return readFileSync(join(dir, 'hence.log'), 'utf8').slice(-4_000);
}

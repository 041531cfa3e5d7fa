import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { ServiceView, Status } from '../../runtime/admin/api.ts';
import { isAlive } from './process.ts';
import { root } from './root.ts';
import { until } from './until.ts';

export interface SystemOptions {
  /** File below `services/` -> its text. */
  readonly services?: Readonly<Record<string, string>>;
  /** The `hence.yaml`. */
  readonly yaml?: string;
  /** More arguments of `hence start`; ports are free ones unless given here. */
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** A project that is already there, such as that of a system that has ended. */
  readonly dir?: string;
  /** Resolve at once: it need not get ready. */
  readonly unready?: boolean;
}

export interface CliResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** A word of a command, or what it reads from its standard input. */
export type CliWord = string | { readonly stdin: string };

export interface AdminReply {
  readonly status: number;
  readonly text: string;
  /** The body as JSON. */
  readonly json: <T>() => T;
}

const cli = join(root, 'admin-cli', 'hence.mjs');
const startMs = 15_000;

/** What every `hence` of a test sees of the environment: nothing of the developer's own. */
export function plainEnv(more: Readonly<Record<string, string>> = {}): NodeJS.ProcessEnv {
  const { PATH, HOME, TMPDIR } = process.env;
  return {
    ...(PATH ? { PATH } : {}),
    ...(HOME ? { HOME } : {}),
    ...(TMPDIR ? { TMPDIR } : {}),
    NO_COLOR: '1',
    ...more,
  };
}

/** A project folder for `hence start`. */
export async function makeProject(
  options: Pick<SystemOptions, 'services' | 'yaml'> = {},
): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'hence-e2e-'));
  await mkdir(join(dir, 'services'));
  await writeFile(join(dir, 'package.json'), '{"type":"module"}\n');
  for (const [file, text] of Object.entries(options.services ?? {})) await put(dir, file, text);
  if (options.yaml !== undefined) await writeFile(join(dir, 'hence.yaml'), options.yaml);
  return dir;
}

/** A real `hence start` in a project of its own, waited for until it serves. */
export async function startSystem(options: SystemOptions = {}): Promise<System> {
  const dir = options.dir ?? (await makeProject(options));
  const system = new System(dir, options);
  if (options.unready) return system;
  try {
    await system.ready();
  } catch (error) {
    await system.stop();
    throw error;
  }
  return system;
}

/** A running `hence start`. */
export class System {
  readonly dir: string;
  /** Resolves with the exit code once it has ended. */
  readonly exited: Promise<number | null>;
  readonly #child: ChildProcess;
  readonly #env: NodeJS.ProcessEnv;
  #output = '';
  #ended = false;

  constructor(dir: string, options: SystemOptions) {
    this.dir = dir;
    this.#env = plainEnv(options.env);
    const args = options.args ?? [];
    const ports = ['--port', '--admin-port']
      .filter((flag) => !args.includes(flag))
      .flatMap((flag) => [flag, '0']);
    this.#child = spawn(
      process.execPath,
      [cli, 'start', '--log-format', 'json', ...ports, ...args.filter((arg) => arg !== '')],
      { cwd: dir, env: this.#env, stdio: ['ignore', 'pipe', 'pipe'] },
    );
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream?.on('data', (bytes) => {
        this.#output += String(bytes);
      });
    }
    this.exited = once(this.#child, 'close').then(([code]) => {
      this.#ended = true;
      return code as number | null;
    });
  }

  get ended(): boolean {
    return this.#ended;
  }

  /** The pid of the control process. */
  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /** Everything it has printed. */
  log(): string {
    return this.#output;
  }

  /** Its log lines so far. */
  lines(): readonly Readonly<Record<string, unknown>>[] {
    return this.#output
      .split('\n')
      .filter((line) => line.startsWith('{'))
      .map((line) => JSON.parse(line) as Record<string, unknown>);
  }

  /** Where channels are. */
  url = '';

  get adminUrl(): string {
    return this.#admin().url;
  }

  /** Resolves once it serves, and its worker and standby are there. */
  async ready(): Promise<void> {
    await until(async () => {
      if (this.#ended) throw new Error(`hence ended:\n${this.#output}`);
      const status = await this.status().catch(() => undefined);
      if (!status?.ready || !status.workers.some((worker) => worker.state === 'standby')) return;
      this.url = status.channelsUrl;
      return true;
    }, startMs).catch((error: unknown) => {
      throw new Error(`${String(error)}\n${this.#output}`);
    });
  }

  /** A request of the admin API, with its token; a text body is a file, anything else JSON. */
  async admin(method: string, path: string, body?: unknown): Promise<AdminReply> {
    const { url, token } = this.#admin();
    const reply = await fetch(url + path, {
      method,
      headers: {
        authorization: `Bearer ${token}`,
        'content-type': typeof body === 'string' ? 'text/plain' : 'application/json',
      },
      ...(body === undefined
        ? {}
        : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    });
    const text = await reply.text();
    return { status: reply.status, text, json: <T>() => JSON.parse(text) as T };
  }

  async status(): Promise<Status> {
    return (await this.admin('GET', '/api/status')).json<Status>();
  }

  async services(): Promise<readonly ServiceView[]> {
    const reply = await this.admin('GET', '/api/services?limit=1000');
    return reply.json<{ items: ServiceView[] }>().items;
  }

  async service(name: string): Promise<ServiceView | undefined> {
    const reply = await this.admin('GET', `/api/services/${name}`);
    return reply.status === 200 ? reply.json<ServiceView>() : undefined;
  }

  /** Makes a definition; the workers have it a moment later. */
  async define(type: string, body: Readonly<Record<string, unknown>>): Promise<void> {
    const reply = await this.admin('POST', `/api/definitions/${type}`, body);
    if (reply.status !== 201) throw new Error(reply.text);
  }

  /** Runs the `hence` command in the project, as a person does. */
  async cli(...args: readonly CliWord[]): Promise<CliResult> {
    const words = args.filter((arg) => typeof arg === 'string');
    const stdin = args.find((arg) => typeof arg === 'object')?.stdin ?? '';
    return runCli(words, { cwd: this.dir, env: this.#env, stdin });
  }

  /** Saves a service file as an editor does that writes aside and renames. */
  async save(file: string, text: string): Promise<void> {
    await put(this.dir, file, text);
  }

  async remove(file: string): Promise<void> {
    await rm(join(this.dir, 'services', file));
  }

  async rename(from: string, to: string): Promise<void> {
    await rename(join(this.dir, 'services', from), join(this.dir, 'services', to));
  }

  async workerPids(state?: string): Promise<readonly number[]> {
    const { workers } = await this.status();
    return workers
      .filter((worker) => state === undefined || worker.state === state)
      .map((worker) => worker.pid);
  }

  async redisPid(): Promise<number> {
    return Number(await readFile(join(this.dir, '.hence', 'redis', 'redis.pid'), 'utf8'));
  }

  get(path: string, init?: RequestInit): Promise<Response> {
    return fetch(this.url + path, init);
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  /** Ends it, asking first, and gives the exit code. The project stays. */
  async end(): Promise<number | null> {
    this.signal('SIGTERM');
    return this.exited;
  }

  /** Ends it and everything it started, however it is, and removes the project. */
  async stop(): Promise<void> {
    const redis = await this.redisPid().catch(() => 0);
    this.signal('SIGTERM');
    const killer = setTimeout(() => this.signal('SIGKILL'), 10_000);
    await this.exited;
    clearTimeout(killer);
    if (redis > 0 && isAlive(redis)) process.kill(redis, 'SIGKILL');
    await rm(this.dir, { recursive: true, force: true, maxRetries: 5 });
  }

  #admin(): { readonly url: string; readonly token: string } {
    return JSON.parse(readFileSync(join(this.dir, '.hence', 'admin.json'), 'utf8')) as {
      url: string;
      token: string;
    };
  }
}

export async function runCli(
  words: readonly string[],
  where: { readonly cwd: string; readonly env?: NodeJS.ProcessEnv; readonly stdin?: string },
): Promise<CliResult> {
  const child = spawn(process.execPath, [cli, ...words], {
    cwd: where.cwd,
    env: where.env ?? plainEnv(),
    stdio: 'pipe',
  });
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (bytes) => {
    stdout += String(bytes);
  });
  child.stderr.on('data', (bytes) => {
    stderr += String(bytes);
  });
  child.stdin.on('error', () => {
    // It ended without reading.
  });
  child.stdin.end(where.stdin ?? '');
  const [code] = (await once(child, 'close')) as [number | null];
  return { code: code ?? -1, stdout, stderr };
}

async function put(dir: string, file: string, text: string): Promise<void> {
  const path = join(dir, 'services', file);
  await mkdir(dirname(path), { recursive: true });
  await writeFile(`${path}.tmp~`, text);
  await rename(`${path}.tmp~`, path);
}

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { findRedisBinary } from '../../runtime/redis/version.ts';

export interface RedisOptions {
  /** More arguments for redis-server; a later one wins. */
  readonly args?: readonly string[];
  /** Also listens on this port of 127.0.0.1. */
  readonly port?: number;
  /** More of its environment. */
  readonly env?: Readonly<Record<string, string>>;
}

export interface TestRedis {
  /** The unix socket. */
  readonly path: string;
  readonly dir: string;
  readonly pid: number;
  /** Ends the server and removes its folder; may be called twice. */
  stop(): Promise<void>;
  /** Ends the server as a crash would (SIGKILL); its files stay. */
  kill(): Promise<void>;
  /** Starts the server again on its socket and files, after a kill or while it runs. */
  restart(): Promise<void>;
}

const startDeadlineMs = 10_000;

/** A real Redis of the test's own: unix socket, temporary folder, nothing kept on disk unless asked. */
export async function startRedis(options: RedisOptions = {}): Promise<TestRedis> {
  const dir = await mkdtemp(join(tmpdir(), 'hence-test-redis-'));
  const path = join(dir, 'redis.sock');
  const args = [
    ...['--dir', dir, '--unixsocket', path, '--unixsocketperm', '700', '--daemonize', 'no'],
    ...['--port', String(options.port ?? 0), '--bind', '127.0.0.1', '--logfile', join(dir, 'log')],
    ...['--save', '', '--appendonly', 'no', '--maxmemory-policy', 'noeviction'],
    ...(options.args ?? []),
  ];
  const start = () => launch(args, path, { dir, env: options.env ?? {} });
  const kill = async () => {
    await end(server, 'SIGKILL');
    await rm(path, { force: true });
  };
  let server = await start().catch(async (reason: unknown) => {
    await rm(dir, { recursive: true, force: true });
    throw reason;
  });
  return {
    path,
    dir,
    get pid() {
      return server.pid ?? 0;
    },
    kill,
    async restart() {
      await kill();
      server = await start();
    },
    async stop() {
      await end(server, 'SIGKILL');
      await rm(dir, { recursive: true, force: true });
    },
  };
}

async function launch(
  args: readonly string[],
  path: string,
  { dir, env }: { readonly dir: string; readonly env: Readonly<Record<string, string>> },
): Promise<ChildProcess> {
  const binary = findRedisBinary(process.env['PATH']) ?? 'redis-server';
  const server = spawn(binary, args, { stdio: 'ignore', env: { ...process.env, ...env } });
  const failed = new Promise<never>((_, reject) => {
    server.once('error', reject);
    server.once('exit', (code) => {
      readFile(join(dir, 'log'), 'utf8')
        .catch(() => '')
        .then((log) => reject(new Error(`redis-server ended with ${code}: ${log.slice(-2_000)}`)));
    });
  });
  failed.catch(() => undefined);
  await Promise.race([answers(path), failed]);
  return server;
}

async function answers(path: string): Promise<void> {
  const deadline = Date.now() + startDeadlineMs;
  while (Date.now() < deadline) {
    if (await pong(path)) return;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  throw new Error(`No Redis answered on ${path} in ${startDeadlineMs} ms`);
}

function pong(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path, () => socket.write('PING\r\n'));
    const finish = (ok: boolean) => {
      socket.destroy();
      resolve(ok);
    };
    socket.once('data', (bytes) => finish(bytes.toString().startsWith('+PONG')));
    socket.once('error', () => finish(false));
    socket.setTimeout(1_000, () => finish(false));
  });
}

async function end(server: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (server.exitCode !== null || server.signalCode !== null) return;
  const gone = once(server, 'exit');
  server.kill(signal);
  await gone;
}

import { type ChildProcess, fork, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { connect, createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import type { Redis } from 'ioredis';
import { Fault } from '../../runtime/core/fault.ts';
import { connectRedis } from '../../runtime/redis/connection.ts';
import { RedisServer, type RedisServerOptions } from '../../runtime/redis/server.ts';
import { type CollectingLog, collectingLog } from '../support/collecting-log.ts';
import { isAlive } from '../support/process.ts';
import { startRedis } from '../support/redis.ts';
import { rejection } from '../support/rejection.ts';
import { until } from '../support/until.ts';

describe('RedisServer', () => {
  let base: string;
  let dir: string;
  let log: CollectingLog;
  let servers: RedisServer[];
  let clients: Redis[];

  beforeEach(async () => {
    base = await mkdtemp(join(tmpdir(), 'hence-test-'));
    dir = join(base, 'redis');
    log = collectingLog();
    servers = [];
    clients = [];
  });

  afterEach(async () => {
    for (const redis of clients) redis.disconnect();
    await Promise.all(servers.map((server) => server.stop()));
    await rm(base, { recursive: true, force: true });
  });

  function make(options: Partial<RedisServerOptions> = {}): RedisServer {
    const server = new RedisServer({ dir, log, maxMemoryBytes: 64_000_000, ...options });
    servers.push(server);
    return server;
  }

  async function started(options: Partial<RedisServerOptions> = {}): Promise<RedisServer> {
    const server = make(options);
    await server.start();
    return server;
  }

  function client(server: RedisServer): Redis {
    const redis = connectRedis(server.target, 'command', () => undefined);
    clients.push(redis);
    return redis;
  }

  it('is durable, private and never drops data', async () => {
    const server = await started();
    const redis = client(server);
    const config = await redis.config('GET', 'append*', 'maxmemory*', 'port', 'save');
    expect(toObject(config)).to.include({
      appendonly: 'yes',
      appendfsync: 'always',
      maxmemory: '64000000',
      'maxmemory-policy': 'noeviction',
      port: '0',
      save: '',
    });
    expect((await stat(dir)).mode & 0o777).to.equal(0o700);
    expect((await stat(join(dir, 'redis.sock'))).mode & 0o077).to.equal(0);
    expect(server.version).to.match(/^\d+\.\d+/);
  });

  it('takes 60 % of the memory as its limit when none is given', async () => {
    const server = new RedisServer({ dir, log });
    servers.push(server);
    await server.start();
    const limit = Number(toObject(await client(server).config('GET', 'maxmemory'))['maxmemory']);
    expect(limit).to.be.greaterThan(50_000_000);
  });

  it('starts and stops once, however often it is asked', async () => {
    const server = make();
    await Promise.all([server.start(), server.start()]);
    const pid = server.pid;
    await Promise.all([server.stop(), server.stop()]);
    await server.stop();
    expect(isAlive(pid)).to.equal(false);
    expect(server.running).to.equal(false);
    expect(await rejection(stat(join(dir, 'redis.sock')))).to.have.property('code', 'ENOENT');
  });

  it('keeps its data over a clean stop', async () => {
    const first = await started();
    await client(first).set('key', 'value');
    await first.stop();
    expect(await client(await started()).get('key')).to.equal('value');
  });

  it('comes back with its data when it is killed, and tells of both', async () => {
    const events: string[] = [];
    const server = await started({
      onDown: (reason) => events.push(`down: ${reason}`),
      onUp: () => events.push(`up: ${server.running}`),
    });
    const redis = client(server);
    await redis.set('key', 'value');
    for (const kill of [1, 2]) {
      const { pid } = server;
      process.kill(pid ?? 0, 'SIGKILL');
      await until(() => events.length === kill * 2);
      expect(server.pid).not.to.equal(pid);
      expect(await until(() => redis.get('key').catch(() => undefined))).to.equal('value');
    }
    const round = ['down: signal SIGKILL', 'up: true'];
    expect(events).to.deep.equal([...round, ...round]);
    const waits = log.lines.filter((line) => line.message === 'redis ended');
    expect(waits.map((line) => line.facts['restartInMs'])).to.deep.equal([50, 100]);
  });

  it('can be stopped while it waits to start again', async () => {
    let downs = 0;
    const server = await started({
      onDown: () => {
        downs += 1;
      },
    });
    process.kill(server.pid ?? 0, 'SIGKILL');
    await until(() => downs === 1);
    await server.stop();
    expect(server.running).to.equal(false);
    expect(isAlive(server.pid)).to.equal(false);
  });

  it('can be stopped while it starts', async () => {
    const server = make();
    const start = rejection(server.start());
    await server.stop();
    await start;
    expect(isAlive(server.pid)).to.equal(false);
    await started();
  });

  it('is killed when it does not end in time', async () => {
    const server = await started({ stopTimeoutMs: 200 });
    process.kill(server.pid ?? 0, 'SIGSTOP');
    await server.stop();
    expect(isAlive(server.pid)).to.equal(false);
  });

  it('removes a socket that nobody listens on any more', async () => {
    await mkdir(dir);
    for (const name of ['redis.sock', 'owner.sock']) await leaveStaleSocket(join(dir, name));
    expect(await client(await started()).ping()).to.equal('PONG');
  });

  it('refuses a folder that another one uses, and leaves that one alone', async () => {
    const first = await started();
    const fault = await rejection(make().start());
    expect(fault).to.be.instanceOf(Fault).and.to.have.property('code', 'conflict');
    expect(fault.message).to.contain(`(pid ${process.pid})`).and.to.contain(dir);
    expect(await client(first).ping()).to.equal('PONG');
  });

  it('gives the folder to one of many that start at once', async () => {
    await mkdir(dir);
    await leaveStaleSocket(join(dir, 'owner.sock'));
    const outcomes = await Promise.allSettled([1, 2, 3, 4].map(() => make().start()));
    expect(outcomes.filter(({ status }) => status === 'fulfilled')).to.have.length(1);
  });

  it('refuses a socket on which a server of somebody else answers', async () => {
    const foreign = await startRedis();
    try {
      await mkdir(dir);
      const alias = join(dir, 'redis.sock');
      const passing = await relay(alias, foreign.path);
      const fault = await rejection(make().start());
      passing.close();
      expect(fault).to.have.property('code', 'conflict');
      expect(fault.message).to.contain(alias);
    } finally {
      await foreign.stop();
    }
  });

  for (const frozen of [false, true]) {
    it(`ends the ${frozen ? 'frozen' : 'running'} Redis of a process that was killed, and keeps its data`, async () => {
      const parent = fork(fileURLToPath(new URL('./redis-parent.js', import.meta.url)), [dir]);
      const [old] = (await once(parent, 'message')) as [{ pid: number }];
      await killHard(parent);
      expect(isAlive(old.pid)).to.equal(true);
      if (frozen) process.kill(old.pid, 'SIGSTOP');
      const server = await started();
      expect(isAlive(old.pid)).to.equal(false);
      expect(await client(server).get('key')).to.equal('of the parent');
      expect(log.lines.map((line) => line.message)).to.deep.equal([
        'redis left by an earlier start was stopped',
      ]);
    });
  }

  it('does not touch a process that got the pid of an old Redis', async () => {
    await mkdir(dir);
    const other = spawn('sleep', ['60']);
    await writeFile(join(dir, 'redis.pid'), String(other.pid));
    await started();
    expect(isAlive(other.pid)).to.equal(true);
    await killHard(other);
  });

  it('uses a short socket path when the folder is too deep, and says so', async () => {
    const deep = join(base, 'x'.repeat(60), 'y'.repeat(60));
    const server = await started({ dir: deep });
    expect(await client(server).ping()).to.equal('PONG');
    expect(showPath(server)).to.match(/\/hence-\d+-[0-9a-f]{12}\/redis\.sock$/);
    expect(log.lines[0]?.message).to.contain('temporary folder');
    expect((await rejection(make({ dir: deep }).start())).message).to.contain('already runs');
    await server.stop();
    await rm(join(showPath(server), '..'), { recursive: true });
  });

  it('does not start with a program that is missing or too old', async () => {
    const missing = await rejection(make({ binary: join(base, 'none') }).start());
    expect(missing.message).to.contain('no such program');
    const old = join(base, 'redis-server');
    await writeFile(old, "#!/bin/sh\necho 'Redis server v=5.0.14 sha=0:0'\n");
    await chmod(old, 0o755);
    const fault = await rejection(make({ binary: old }).start());
    expect(fault).to.have.property('code', 'unavailable');
    expect(fault.message).to.contain('5.0.14').and.to.contain('6.2');
    // A failed start gives the folder free.
    await started();
  });

  it('says what Redis said when it does not start', async () => {
    const first = await started();
    await client(first).set('key', 'value'.repeat(100));
    await client(first).set('other', 'value'.repeat(100));
    await first.stop();
    const manifest = await readFile(join(dir, 'appendonlydir', 'appendonly.aof.manifest'), 'utf8');
    const name = /file (\S+incr\S+)/.exec(manifest)?.[1] ?? 'none';
    const file = join(dir, 'appendonlydir', name);
    const bytes = await readFile(file);
    bytes.fill('!', 0, 20);
    await writeFile(file, bytes);
    const fault = await rejection(make().start());
    expect(fault.message).to.contain(`Redis did not start: exit code 1, see ${dir}/redis.log`);
    expect(fault.message).to.contain(name).and.to.contain('redis-check-aof');
  });

  it('keeps its log short', async () => {
    await mkdir(dir);
    await writeFile(join(dir, 'redis.log'), 'x'.repeat(1_000_001));
    await started();
    expect((await stat(join(dir, 'redis.log'))).size).to.be.lessThan(10_000);
    expect((await stat(join(dir, 'redis.log.1'))).size).to.equal(1_000_001);
  });
});

function showPath(server: RedisServer): string {
  return 'path' in server.target ? server.target.path : '';
}

function toObject(pairs: unknown): Record<string, string> {
  const flat = Array.isArray(pairs) ? pairs.map(String) : [];
  return Object.fromEntries(
    flat.flatMap((key, index) => (index % 2 === 0 ? [[key, flat[index + 1] ?? '']] : [])),
  );
}

async function killHard(child: ChildProcess): Promise<void> {
  const gone = once(child, 'exit');
  child.kill('SIGKILL');
  await gone;
}

/** A socket file whose listener was killed. */
async function leaveStaleSocket(path: string): Promise<void> {
  const script = `require('net').createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, 'SIGKILL'))`;
  await once(spawn(process.execPath, ['-e', script]), 'exit');
  await stat(path);
}

/** Passes connections on to another socket. */
async function relay(path: string, target: string): Promise<Server> {
  const server = createServer((near) => {
    const far = connect(target);
    near.pipe(far).pipe(near);
    near.on('error', () => far.destroy());
    near.on('close', () => far.destroy());
  });
  server.listen(path);
  await once(server, 'listening');
  return server;
}

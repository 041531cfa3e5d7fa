import { once } from 'node:events';
import { Queue, Worker } from 'bullmq';
import { expect } from 'chai';
import type { Redis } from 'ioredis';
import { connectRedis, type RedisRole } from '../../runtime/redis/connection.ts';
import type { RedisTarget } from '../../runtime/redis/target.ts';
import { type Middlebox, startMiddlebox } from '../support/middlebox.ts';
import { startRedis, type TestRedis } from '../support/redis.ts';
import { rejection } from '../support/rejection.ts';
import { until } from '../support/until.ts';

describe('Redis connection', () => {
  let server: TestRedis;
  let open: Redis[];
  let errors: Error[];

  before(async () => {
    server = await startRedis();
  });

  beforeEach(() => {
    open = [];
    errors = [];
  });

  afterEach(() => {
    for (const redis of open) redis.disconnect();
  });

  after(() => server.stop());

  function client(role: RedisRole, target: RedisTarget = { path: server.path }): Redis {
    const redis = connectRedis(target, role, (error) => errors.push(error));
    open.push(redis);
    return redis;
  }

  it('answers a command given before it is connected', async () => {
    for (const role of ['command', 'user', 'worker'] as const) {
      expect(await client(role).ping()).to.equal('PONG');
    }
    expect(errors).to.deep.equal([]);
  });

  it('shows its role to the server', async () => {
    const list = await client('command').call('CLIENT', 'LIST');
    expect(String(list)).to.contain('name=hence-command');
  });

  it('fails a command soon when nothing listens, and works once something does', async () => {
    const late = await startRedis();
    await late.kill();
    const redis = client('command', { path: late.path });
    const started = Date.now();
    expect((await rejection(redis.ping())).message).to.match(/max retries per request/i);
    expect(Date.now() - started).to.be.lessThan(1_000);
    expect(errors.length).to.be.greaterThan(0);
    await late.restart();
    await until(() => redis.ping().catch(() => false));
    await late.stop();
  });

  it('sends a command again after a failover made its server read-only', async () => {
    const replica = await startRedis();
    const admin = client('command', { path: replica.path });
    await admin.replicaof('127.0.0.1', '1');
    const redis = client('command', { path: replica.path });
    await redis.ping();
    const reconnected = once(redis, 'reconnecting').then(() => admin.replicaof('NO', 'ONE'));
    expect(await redis.set('key', 'value')).to.equal('OK');
    await reconnected;
    await replica.stop();
  });

  it('runs BullMQ on worker connections without a word of complaint', async () => {
    const queue = new Queue('jobs', { connection: client('worker') });
    const worker = new Worker('jobs', async (job) => job.data, { connection: client('worker') });
    await worker.waitUntilReady();
    const completed = once(worker, 'completed');
    await queue.add('job', 42);
    expect((await completed)[1]).to.equal(42);
    await worker.close();
    await queue.close();
    expect(errors).to.deep.equal([]);
  });
});

// These wait for the timeouts of the settings, so all of them run at once.
describe('Redis connection through a middlebox that forgets it', () => {
  interface Bench {
    readonly errors: readonly Error[];
    readonly middlebox: Middlebox;
    /** A client through the middlebox. */
    client(role: RedisRole): Redis;
    /** A client that goes straight to the server. */
    readonly direct: Redis;
  }

  let server: TestRedis;
  const running = new Map<string, Promise<void>>();

  const scenarios: Readonly<Record<string, (bench: Bench) => Promise<void>>> = {
    'fails a command in 3 s and is well again in 6 s': async ({ client, middlebox, errors }) => {
      const redis = client('command');
      await redis.ping();
      middlebox.blackhole();
      const started = Date.now();
      expect((await rejection(redis.ping())).message).to.equal('Command timed out');
      expect(Date.now() - started).to.be.within(2_900, 3_500);
      await until(() => redis.ping().catch(() => false));
      expect(Date.now() - started).to.be.lessThan(6_500);
      expect(errors.map((error) => error.message).join()).to.contain('Socket timeout');
    },

    'finds a lost subscription by itself, and hears again': async (bench) => {
      const subscriber = bench.client('subscriber');
      await subscriber.subscribe('news');
      bench.middlebox.blackhole();
      let heard: unknown;
      subscriber.once('message', (_, text) => {
        heard = text;
      });
      await until(async () => {
        await bench.direct.publish('news', 'hello');
        return heard === 'hello';
      });
      expect(bench.errors.map((error) => error.message).join()).to.contain('Socket timeout');
    },

    'keeps an idle connection longer than its socket timeout': async (bench) => {
      const clients = [bench.client('command'), bench.client('user')];
      await Promise.all(clients.map((redis) => redis.ping()));
      // Idle means that nothing happens, so there is no event to wait for.
      await new Promise((resolve) => setTimeout(resolve, 5_500));
      await Promise.all(clients.map((redis) => redis.ping()));
      expect(bench.middlebox.accepted).to.equal(2);
      expect(bench.errors).to.deep.equal([]);
    },

    'does not send a command twice when the reply is lost': async ({ client, middlebox }) => {
      const redis = client('command');
      await redis.ping();
      middlebox.blackhole();
      const lost = rejection(redis.incr('counter'));
      redis.disconnect(true);
      expect((await lost).message).to.equal('Command timed out');
      expect(await redis.get('counter')).to.equal(null);
    },
  };

  before(async () => {
    server = await startRedis();
    for (const [name, scenario] of Object.entries(scenarios)) {
      const run = onBench(server.path, scenario);
      run.catch(() => undefined);
      running.set(name, run);
    }
  });

  after(async () => {
    await Promise.allSettled(running.values());
    await server.stop();
  });

  for (const name of Object.keys(scenarios)) {
    it(name, () => running.get(name));
  }

  async function onBench(path: string, scenario: (bench: Bench) => Promise<void>): Promise<void> {
    const middlebox = await startMiddlebox(path);
    const errors: Error[] = [];
    const open: Redis[] = [];
    const connect = (target: RedisTarget, role: RedisRole) => {
      const redis = connectRedis(target, role, (error) => errors.push(error));
      open.push(redis);
      return redis;
    };
    try {
      await scenario({
        errors,
        middlebox,
        client: (role) => connect({ url: `redis://127.0.0.1:${middlebox.port}` }, role),
        direct: connect({ path }, 'command'),
      });
    } finally {
      for (const redis of open) redis.disconnect();
      await middlebox.stop();
    }
  }
});

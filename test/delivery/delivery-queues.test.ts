import { Queue } from 'bullmq';
import { expect } from 'chai';
import type { Redis } from 'ioredis';
import { DeliveryQueues } from '../../runtime/delivery/delivery-queues.ts';
import { drainJobId, shardNames, shardOf } from '../../runtime/delivery/shards.ts';
import { connectRedis } from '../../runtime/redis/connection.ts';
import { collectingLog } from '../support/collecting-log.ts';
import { startRedis, type TestRedis } from '../support/redis.ts';
import { until } from '../support/until.ts';
import { delivering } from './fixture.ts';

describe('DeliveryQueues', () => {
  let server: TestRedis;
  let redis: Redis;

  beforeEach(async () => {
    server = await startRedis();
    redis = connectRedis({ path: server.path }, 'command', () => {});
  });

  afterEach(async () => {
    redis.disconnect();
    await server.stop();
  });

  it('ask once for each subscription, however often and from wherever it is woken', async () => {
    const log = collectingLog();
    const one = new DeliveryQueues({ redis, log });
    const other = new DeliveryQueues({ redis, log });
    const keys = [
      '12345',
      'zato.service.a:b',
      'sk1',
      ...Array.from({ length: 97 }, (_, n) => `s${n}`),
    ];
    for (const key of keys) one.wake([key, key]);
    other.wake(keys);
    one.wake(keys.slice(0, 10));
    await one.close();
    await other.close();
    const jobs = await Promise.all(
      shardNames(4).map(async (name) => {
        const queue = new Queue(name, { connection: redis, prefix: '{hence}' });
        const waiting = await queue.getWaiting();
        await queue.close();
        return waiting.map(({ data }) => String(data.subKey));
      }),
    );
    expect(jobs.flat().sort()).to.deep.equal([...keys].sort());
    for (const shard of jobs) expect(shard.length).to.be.within(10, 45);
    expect(log.lines).to.deep.equal([]);
  });

  it('give every subscription the same shard in every process, and an id BullMQ takes', () => {
    expect(shardOf('sk1', 4)).to.equal(shardOf('sk1', 4));
    expect(drainJobId('a:b')).to.equal('drain-a%3Ab');
    expect(drainJobId('1')).to.equal('drain-1');
  });

  it('never fail: without Redis they say so once, and close in time', async () => {
    const log = collectingLog();
    const queues = new DeliveryQueues({ redis, log });
    await until(() => redis.status === 'ready');
    await server.kill();
    for (let n = 0; n < 50; n++) queues.wake([`s${n}`]);
    const startedAt = Date.now();
    await queues.close();
    expect(Date.now() - startedAt).to.be.below(7_000);
    expect(log.lines.map(({ message }) => message)).to.deep.equal([
      'deliveries were not woken, the sweep will find them',
    ]);
    queues.wake(['late']);
  });

  it('and their runner stop in time although Redis is gone', async () => {
    const node = await delivering(server.path, { services: { work: () => new Promise(() => {}) } });
    await node.subscribe('a');
    await node.publish('a', 1);
    await until(() => node.runner.active === 1);
    await server.kill();
    const startedAt = Date.now();
    await Promise.all([node.runner.stop(200), node.queues.close()]);
    expect(Date.now() - startedAt).to.be.below(8_000);
    await server.restart();
    await until(() => node.connections.every(({ status }) => status === 'ready'));
    await node.stop();
  });
});

import { expect } from 'chai';
import { Fault } from '../../runtime/core/fault.ts';
import type { BrokerOptions } from '../../runtime/pubsub/broker.ts';
import { connectRedis } from '../../runtime/redis/connection.ts';
import { checkServer } from '../../runtime/redis/requirements.ts';
import { jsonOf, MadeRoutes, openBroker, pull, type TestBroker } from '../support/broker.ts';
import { startRedis, type TestRedis } from '../support/redis.ts';
import { rejection } from '../support/rejection.ts';
import { until } from '../support/until.ts';
import { needShim, startShimmedRedis } from './shim.ts';

describe('Storage', () => {
  let server: TestRedis | undefined;
  let test: TestBroker | undefined;

  afterEach(async () => {
    test?.close();
    await server?.stop();
    test = undefined;
    server = undefined;
  });

  const open = async (redis: TestRedis, options: Partial<BrokerOptions> = {}) => {
    server = redis;
    test = await openBroker(redis.path, options);
    await test.broker.subscribe(pull('one', 'a'));
    return test;
  };

  /** Publishes until it is refused: how many, and why. */
  const fill = async ({ publish }: TestBroker) => {
    for (let sent = 0; ; sent++) {
      const refused = await publish('a', 'x'.repeat(50_000)).then(
        () => undefined,
        (error: unknown) => error,
      );
      if (Fault.is(refused)) return { sent, refused };
    }
  };

  const drain = async ({ broker }: TestBroker) => {
    let drained = 0;
    for (;;) {
      const taken = await broker.take('one', { max: 20 });
      if (taken.length === 0) return drained;
      drained += (await broker.ack('one', taken)).filter((held) => held).length;
    }
  };

  const usedPart = async ({ redis }: TestBroker) => {
    const memory = await redis.info('memory');
    const used = Number(/used_memory:(\d+)/.exec(memory)?.[1]);
    return used / Number(/maxmemory:(\d+)/.exec(memory)?.[1]);
  };

  it('that is nearly full refuses publishers, and lets consumers drain it [F16]', async () => {
    const broker = await open(await startRedis({ args: ['--maxmemory', '12mb'] }));
    const { sent, refused } = await fill(broker);
    expect(refused).to.include({ code: 'unavailable' });
    expect(refused.details).to.deep.equal({ reason: 'storage watermark' });
    expect(refused.retryAfterMs).to.be.greaterThan(0);
    expect(await usedPart(broker)).to.be.within(0.7, 0.8);
    expect(await drain(broker)).to.equal(sent);
    expect((await broker.publish('a', 1)).queues).to.equal(1);
  });

  it('that is quite full refuses publishers as a whole, and lets consumers drain it [F16, without the watermark]', async () => {
    const broker = await open(await startRedis({ args: ['--maxmemory', '12mb'] }), {
      limits: { watermark: 100 },
    });
    const { sent, refused } = await fill(broker);
    expect(refused).to.include({ code: 'unavailable' });
    expect(refused.message).to.contain('Redis is full');
    expect(refused.details).to.equal(undefined);
    expect(await usedPart(broker)).to.be.greaterThan(0.95);
    expect((await broker.broker.depth(['one']))[0]?.waiting).to.equal(sent);
    expect(await drain(broker)).to.equal(sent);
    expect(await broker.redis.hlen('{hence}:ps:msgs')).to.equal(0);
    expect((await broker.publish('a', 1)).queues).to.equal(1);
  });

  for (const [setting, args] of [
    ['maxmemory', ['--maxmemory', '0', '--appendonly', 'yes']],
    ['maxmemory-policy', ['--maxmemory', '9mb', '--maxmemory-policy', 'allkeys-lru']],
    ['appendonly', ['--maxmemory', '9mb', '--appendonly', 'no']],
  ] as const) {
    it(`is warned of where ${setting} can lose messages [F17]`, async () => {
      server = await startRedis({ args });
      const redis = connectRedis({ path: server.path }, 'command', () => {});
      const { warnings } = await checkServer(redis);
      redis.disconnect();
      expect(warnings.join('\n')).to.contain(`${setting} `.trim());
    });
  }

  it('on a full disk refuses publishers with the reason, shows what is there, and recovers [F18]', async function () {
    await needShim(this);
    const shimmed = await startShimmedRedis(['--appendfsync', 'everysec']);
    const broker = await open(shimmed);
    for (let n = 0; n < 50; n++) await broker.publish('a', n);
    await shimmed.setDiskFull(true);
    // The write that finds the disk full was made in memory: Redis takes it back or completes it later.
    const acked = [...Array(50).keys()];
    let refused: Fault | undefined;
    await until(async () => {
      const next = acked.length;
      const error = await broker.publish('a', next).catch((thrown: unknown) => thrown);
      if (Fault.is(error)) refused = error;
      else acked.push(next);
      return refused;
    });
    expect(refused).to.include({ code: 'unavailable' });
    expect(refused?.message).to.contain('disk');
    expect(refused?.details).to.equal(undefined);
    expect((await broker.broker.depth(['one']))[0]?.waiting).to.equal(acked.length);
    const page = await broker.broker.browse('one', { state: 'waiting', limit: 10 });
    expect(page.items).to.have.length(10);
    expect(await broker.broker.find(page.items[0]?.message.msgId ?? '')).to.have.length(1);

    await shimmed.setDiskFull(false);
    await until(() => broker.publish('a', acked.length).catch(() => undefined));
    acked.push(acked.length);
    await shimmed.restart();
    expect(await everything(broker)).to.deep.equal(acked);
  });

  it('on a full disk in the durable mode ends Redis, and has all that was acknowledged afterwards [F19]', async function () {
    await needShim(this);
    const shimmed = await startShimmedRedis(['--appendfsync', 'always']);
    const broker = await open(shimmed);
    const acked = [...Array(50).keys()];
    for (const n of acked) await broker.publish('a', n);
    await shimmed.setDiskFull(true);
    expect(await rejection(broker.publish('a', 'lost'))).to.have.nested.property(
      'details.outcome',
      'unknown',
    );
    await shimmed.setDiskFull(false);
    await shimmed.restart();
    expect(await everything(broker)).to.deep.equal(acked);
  });

  it('that was emptied is not published to as if nobody subscribed [F22]', async () => {
    server = await startRedis();
    const source = new MadeRoutes(7);
    test = await openBroker(server.path, { source });
    const { broker, redis, publish } = test;
    await redis.set('{hence}:revision', 7);
    await broker.subscribe(pull('one', 'a'));
    expect((await publish('a', 1)).queues).to.equal(1);
    await redis.flushall();
    const refused = await rejection(publish('a', 2));
    expect(refused).to.include({ code: 'unavailable' });
    expect(refused.message).to.contain('lost');
    expect(await redis.dbsize()).to.equal(0);
  });

  it('that lost its last moments, a subscription among them, is gone by as it is [F13]', async () => {
    const broker = await open(await startRedis());
    const [revision, early] = await Promise.all([
      broker.redis.get('{hence}:ps:subs:rev'),
      broker.redis.hgetall('{hence}:ps:subs'),
    ]);
    await broker.broker.subscribe(pull('two', 'a'));
    expect((await broker.publish('a', 1)).queues).to.equal(2);
    await broker.redis.del('{hence}:ps:subs');
    await broker.redis.hset('{hence}:ps:subs', early);
    await broker.redis.set('{hence}:ps:subs:rev', revision ?? '');
    expect((await broker.publish('a', 2)).queues).to.equal(1);
    await broker.broker.subscribe(pull('three', 'a'));
    expect((await broker.publish('a', 3)).queues).to.equal(2);
  });
});

/** The values of all messages, once Redis answers again, in order. */
async function everything({ broker }: TestBroker): Promise<readonly unknown[]> {
  const taken = await until(() => broker.take('one', { max: 1_000 }).catch(() => undefined));
  return taken.map(({ message }) => jsonOf(message));
}

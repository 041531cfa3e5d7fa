import { randomBytes } from 'node:crypto';
import { expect } from 'chai';
import { Fault } from '../../runtime/core/fault.ts';
import { notHeld } from '../../runtime/pubsub/consumer.ts';
import { Holders, type Left } from '../../runtime/pubsub/holders.ts';
import type { Delivery } from '../../runtime/pubsub/message.ts';
import { jsonOf, openBroker, pull, type TestBroker } from '../support/broker.ts';
import { startRedis, type TestRedis } from '../support/redis.ts';
import { rejection } from '../support/rejection.ts';
import { until } from '../support/until.ts';

describe('Queues with one reader at a time', () => {
  let redis: TestRedis;
  let one: TestBroker;
  let namespace: string;
  const deadMs = 200;
  const process1 = () => new Holders({ redis: one.redis, namespace, deadMs });

  before(async () => {
    redis = await startRedis();
  });

  beforeEach(async () => {
    namespace = `h${randomBytes(6).toString('hex')}`;
    one = await openBroker(redis.path, { namespace });
    await one.broker.subscribe(pull('sk', 'orders'));
  });

  afterEach(() => one.close());

  after(() => redis.stop());

  it('give nothing to who held it before the newest', async () => {
    const [a, b] = [process1(), process1()];
    const old = await a.hold('sk');
    const newest = await b.hold('sk');
    await one.publish('orders', 1);
    const fault = await rejection(one.broker.take('sk', { holder: old }));
    expect(Fault.is(fault) && fault.code).to.equal('conflict');
    expect((fault as Fault).details).to.deep.equal({ reason: notHeld });
    expect(await one.broker.take('sk', { holder: newest })).to.have.length(1);
    expect(await Promise.all([a.standing('sk', old), b.standing('sk', newest)])).to.deep.equal([
      'taken over',
      'held',
    ]);
  });

  it('are left by their own holder only, and may be held again when nobody does', async () => {
    const [a, b] = [process1(), process1()];
    const old = await a.hold('sk');
    const newest = await b.hold('sk');
    expect(await a.release('sk', old)).to.equal(false);
    expect(await a.holdAgain('sk', old)).to.equal(false);
    expect(await b.end('sk', newest)).to.equal(true);
    expect(await b.standing('sk', newest)).to.equal('gone');
    expect(await b.end('sk', newest)).to.equal(true);
    expect(await b.release('sk', newest)).to.equal(true);
    expect(await a.holdAgain('sk', old)).to.equal(true);
    expect(await a.standing('sk', old)).to.equal('held');
  });

  it('are found when their holder is dead, or its ending was not finished', async () => {
    const [dead, alive] = [process1(), process1()];
    const left = await dead.hold('sk1');
    await dead.end('sk2', await dead.hold('sk2'));
    await alive.hold('sk3');
    const found = new Map<string, string>();
    await until(async () => {
      await alive.beat();
      for await (const { subKey, token } of alive.ofTheDead()) found.set(subKey, token);
      return found.size === 2;
    });
    expect(found.get('sk1')).to.equal(left);
    for (const [subKey, token] of found) {
      expect(await alive.end(subKey, token)).to.equal(true);
      expect(await alive.release(subKey, token)).to.equal(true);
    }
    expect(await one.redis.hkeys(`{${namespace}}:ps:held`)).to.deep.equal(['sk3']);
    const again: Left[] = [];
    for await (const each of alive.ofTheDead()) again.push(each);
    expect(again).to.deep.equal([]);
  });

  it('give the first message whatever its size, where that is asked for', async () => {
    for (const text of ['x'.repeat(100), 'y', 'z'.repeat(100)]) await one.publish('orders', text);
    expect(await one.broker.take('sk', { maxBytes: 50 })).to.deep.equal([]);
    const taken = await one.broker.take('sk', { maxBytes: 50, atLeastOne: true });
    expect(taken.map(({ message }) => jsonOf(message))).to.deep.equal(['x'.repeat(100)]);
    const next = await one.broker.take('sk', { maxBytes: 50, atLeastOne: true });
    expect(next.map(({ message }) => jsonOf(message))).to.deep.equal(['y']);
  });

  it('wake who waits for long when a message comes, comes back, or its lease ends', async () => {
    const waiting = () => one.broker.take('sk', { waitMs: 15_000, lookMs: 15_000, leaseMs: 100 });
    const waits = () =>
      until(() => one.redis.hexists(`{${namespace}}:ps:waiters`, 'sk').then(Boolean));
    const taken = waiting();
    await waits();
    await one.publish('orders', 1);
    const [first] = await taken;
    if (!first) throw new Error('nothing came');
    const refused = waiting();
    await waits();
    await one.broker.reject('sk', [first]);
    expect((await refused)[0]).to.include({ deliveries: 2, failures: 1 });
    let lapsed: readonly Delivery[] = [];
    const again = waiting().then((deliveries) => {
      lapsed = deliveries;
    });
    await until(async () => {
      await one.broker.tend();
      return lapsed.length > 0;
    });
    await again;
    expect(lapsed[0]).to.include({ deliveries: 3, failures: 2 });
  });

  it('look after a lost connection for what came meanwhile', async () => {
    const taken = one.broker.take('sk', { waitMs: 15_000, lookMs: 15_000 });
    await until(() => one.redis.hexists(`{${namespace}}:ps:waiters`, 'sk').then(Boolean));
    // Its wake has nobody to hear it.
    await Promise.all([
      one.redis.call('CLIENT', 'KILL', 'TYPE', 'pubsub'),
      one.publish('orders', 1),
    ]);
    const deliveries = await Promise.race([taken, until(() => false, 8_000).catch(() => [])]);
    expect(deliveries).to.have.length(1);
  });
});

import { expect } from 'chai';
import { jsonOf, openBroker, pull, push, type TestBroker } from '../support/broker.ts';
import { startRedis, type TestRedis } from '../support/redis.ts';
import { rejection } from '../support/rejection.ts';
import { until } from '../support/until.ts';

describe('Broker', () => {
  let server: TestRedis;
  let test: TestBroker;
  let broker: TestBroker['broker'];

  before(async () => {
    server = await startRedis();
  });

  after(() => server.stop());

  beforeEach(async () => {
    test = await openBroker(server.path);
    broker = test.broker;
    await test.redis.flushall();
    test.close();
    test = await openBroker(server.path);
    broker = test.broker;
  });

  afterEach(() => test.close());

  const take = async (subKey: string, max = 50) => await broker.take(subKey, { max });
  const values = async (subKey: string, max = 50) =>
    (await take(subKey, max)).map(({ message }) => jsonOf(message));

  describe('publishes', () => {
    it('to every subscription of the topic, once each, and keeps nothing without one', async () => {
      await broker.subscribe(pull('one', 'orders.*', 'orders.new'));
      await broker.subscribe(pull('two', 'orders.new'));
      const sent = await test.publish('orders.new', { id: 1 });
      expect(sent.queues).to.equal(2);
      expect(sent.msgId).to.match(/^zpsm\.\d{8}-\d{6}-\d{4}-[0-9a-f]{16}f$/);
      expect((await test.publish('other', 1)).queues).to.equal(0);
      expect(await values('one')).to.deep.equal([{ id: 1 }]);
      expect(await values('two')).to.deep.equal([{ id: 1 }]);
      expect(await test.redis.hlen('{hence}:ps:msgs')).to.equal(1);
    });

    it('bytes as they are, with all their meta', async () => {
      await broker.subscribe(pull('one', 'a'));
      const data = Buffer.from('{"n":12345678901234567890,"x":1e400,"s":"\\ud800 ö"}');
      const meta = {
        priority: 9,
        expirationMs: 60_000,
        publisher: 'crm',
        correlId: 'c-2',
        inReplyTo: 'm-1',
        extClientId: 'ext',
        pubTime: '2025-01-01T12:00:00+00:00',
        dataClass: 'order.Order',
        hops: 3,
        contentType: 'text/plain',
      };
      const { msgId } = await broker.publish({ topic: 'a', data, cid: 'c-1', ...meta });
      const [delivery] = await take('one');
      expect(delivery?.message.data.equals(data)).to.equal(true);
      expect(delivery?.message).to.include({ ...meta, msgId, topic: 'a', cid: 'c-1' });
      expect(delivery?.message.expiresAt).to.equal((delivery?.message.receivedAt ?? 0) + 60_000);
    });

    it('high priority first, then in the order of publishing', async () => {
      await broker.subscribe(pull('one', '**'));
      for (const [value, priority] of [
        [1, 5],
        [2, 0],
        [3, 9],
        [4, 5],
        [5, 9],
      ] as const) {
        await test.publish('a', value, { priority });
      }
      expect(await values('one')).to.deep.equal([3, 5, 1, 4, 2]);
    });

    it('at most the limit of bytes, priorities, expiry and hops', async () => {
      await broker.subscribe(pull('one', 'a'));
      const exact = { topic: 'a', cid: 'c', maxSize: 10, data: '"12345678"' };
      expect((await broker.publish(exact)).queues).to.equal(1);
      const refused = [
        [{ ...exact, data: '"123456789"' }, 'too-large'],
        [{ ...exact, priority: -1 }, 'bad-request'],
        [{ ...exact, priority: 10 }, 'bad-request'],
        [{ ...exact, priority: 1.5 }, 'bad-request'],
        [{ ...exact, expirationMs: 0 }, 'bad-request'],
        [{ ...exact, hops: 17 }, 'bad-request'],
        [{ ...exact, topic: '' }, 'bad-request'],
      ] as const;
      for (const [publication, code] of refused) {
        expect(await rejection(broker.publish(publication))).to.include({ code });
      }
      expect((await broker.publish({ ...exact, hops: 16, priority: 0 })).queues).to.equal(1);
      expect(await broker.depth(['one'])).to.have.nested.property('[0].waiting', 2);
    });

    it('once for an idempotency key, however often and at once it is sent [F76]', async () => {
      await broker.subscribe(pull('one', 'a'));
      const keyed = { idempotencyKey: 'k', publisher: 'crm' };
      const sent = await Promise.all(
        Array.from({ length: 10 }, () => test.publish('a', { id: 1 }, keyed)),
      );
      expect(new Set(sent.map(({ msgId }) => msgId)).size).to.equal(1);
      expect(sent.filter(({ duplicate }) => !duplicate)).to.have.length(1);
      expect(await values('one')).to.deep.equal([{ id: 1 }]);
      const other = await test.publish('a', { id: 1 }, { ...keyed, publisher: 'erp' });
      expect(other.duplicate).to.equal(false);
    });

    it('not another body under a used key [F77]', async () => {
      await test.publish('a', 1, { idempotencyKey: 'k' });
      const refused = await rejection(test.publish('a', 2, { idempotencyKey: 'k' }));
      expect(refused).to.include({ code: 'conflict' });
    });

    it('to all of 1,234 subscriptions in chunks, and says so only then [F81]', async () => {
      for (let n = 0; n < 1_234; n++) {
        await test.redis.hset('{hence}:ps:subs', `s${n}`, JSON.stringify(push(`s${n}`, 'a')));
      }
      await test.redis.incr('{hence}:ps:subs:rev');
      const sent = await test.publish('a', 'x');
      expect(sent.queues).to.equal(1_234);
      const depths = await broker.depth(Array.from({ length: 1_234 }, (_, n) => `s${n}`));
      expect(depths.filter(({ waiting }) => waiting === 1)).to.have.length(1_234);
      expect(new Set(test.woken).size).to.equal(1_234);
      expect(await test.redis.keys('{hence}:ps:fan*')).to.deep.equal([]);
      for (let n = 0; n < 1_234; n++) await broker.ack(`s${n}`, await take(`s${n}`));
      expect(await test.redis.hlen('{hence}:ps:msgs')).to.equal(0);
    });

    it('the rest of a fan-out whose process died', async () => {
      const subscriptions = Array.from({ length: 250 }, (_, n) => push(`s${n}`, 'a'));
      for (const one of subscriptions) {
        await test.redis.hset('{hence}:ps:subs', one.subKey, JSON.stringify(one));
      }
      await test.redis.incr('{hence}:ps:subs:rev');
      await broker.refresh();
      // Accepted, but no chunk done: the state a kill -9 leaves behind.
      await test.publish('a', 'x');
      const [record] = await test.redis.hvalsBuffer('{hence}:ps:msgs');
      const token = 'lost';
      const keys = subscriptions.map(({ subKey }) => subKey);
      await test.redis.del(...keys.map((key) => `{hence}:q:${key}:w`));
      await test.redis.rpush(`{hence}:ps:fan:${token}`, ...keys);
      await test.redis.hset('{hence}:ps:fans', token, `1|${4 * 2 ** 49 + 1}|`);
      expect(record).to.not.equal(undefined);
      await broker.tend();
      const depths = await broker.depth(keys);
      expect(depths.filter(({ waiting }) => waiting === 1)).to.have.length(250);
      expect(await test.redis.keys('{hence}:ps:fan*')).to.deep.equal([]);
    });

    it('to a subscription that another process has just made', async () => {
      const other = await openBroker(server.path);
      try {
        await other.broker.subscribe(pull('late', 'a'));
        expect((await test.publish('a', 1)).queues).to.equal(1);
      } finally {
        other.close();
      }
    });

    it('nothing above the watermark, while consumers go on [F16]', async () => {
      await broker.subscribe(pull('one', 'a'));
      await test.redis.config('SET', 'maxmemory', '16mb');
      try {
        const big = 'x'.repeat(200_000);
        let sent = 0;
        const refused = await rejection(
          (async () => {
            for (; sent < 200; sent++) await test.publish('a', big);
          })(),
        );
        expect(refused).to.include({ code: 'unavailable' });
        expect(refused).to.have.nested.property('details.reason', 'storage watermark');
        expect(refused).to.have.property('retryAfterMs');
        const used = /used_memory:(\d+)/.exec(await test.redis.info('memory'))?.[1];
        expect(Number(used)).to.be.below(16 * 1024 * 1024 * 0.8);
        for (let left = sent; left > 0; ) {
          const taken = await take('one', 10);
          expect(taken).to.not.have.length(0);
          await broker.ack('one', taken);
          left -= taken.length;
        }
        expect((await test.publish('a', big)).queues).to.equal(1);
      } finally {
        await test.redis.config('SET', 'maxmemory', '0');
      }
    });
  });

  describe('leases', () => {
    beforeEach(() => broker.subscribe(pull('one', 'a')));

    it('a message to one taker, until it is acked', async () => {
      await test.publish('a', 1);
      const [first] = await take('one');
      expect(first).to.include({ deliveries: 1, failures: 0 });
      expect(await take('one')).to.deep.equal([]);
      expect(await broker.ack('one', first ? [first] : [])).to.deep.equal([true]);
      expect(await broker.ack('one', first ? [first] : [])).to.deep.equal([false]);
      expect(await test.redis.keys('{hence}:q:*')).to.deep.equal([]);
    });

    it('again what was not acked in time, first of all, and refuses the late ack [F09]', async () => {
      await test.publish('a', 1);
      const [zombie] = await broker.take('one', { leaseMs: 1 });
      await test.publish('a', 2);
      await until(async () => {
        await broker.tend();
        return (await broker.depth(['one']))[0]?.waiting === 2;
      });
      const again = await take('one');
      expect(again[0]).to.include({ deliveries: 2, failures: 1 });
      expect(jsonOf(again[0]?.message ?? { data: Buffer.from('0') })).to.equal(1);
      expect(await broker.ack('one', zombie ? [zombie] : [])).to.deep.equal([false]);
      expect(await broker.ack('one', again)).to.deep.equal([true, true]);
    });

    it('longer when they are extended', async () => {
      await test.publish('a', 1);
      const leases = await broker.take('one', { leaseMs: 60 });
      expect(await broker.extend('one', leases, 60_000)).to.deep.equal([true]);
      const [queued] = (await broker.browse('one', { state: 'leased' })).items;
      expect((queued?.at ?? 0) - Date.now()).to.be.greaterThan(50_000);
      expect(
        await broker.extend('one', [{ ...leases[0], token: '999' } as never], 9),
      ).to.deep.equal([false]);
    });

    it('at most so many bytes and messages at a time', async () => {
      for (const value of ['aaaa', 'bbbb', 'cccc']) await test.publish('a', value);
      const [{ message }] = (await take('one', 1)) as [never];
      expect(message).to.have.property('seq');
      const all = await broker.take('one', { maxInflight: 2 });
      expect(all).to.have.length(1);
      expect(await broker.take('one', { maxInflight: 2 })).to.have.length(0);
      expect(await rejection(broker.take('one', { max: 1_001 }))).to.include({
        code: 'bad-request',
      });
      expect(await rejection(broker.take('one', { max: 0 }))).to.include({ code: 'bad-request' });
      expect(await broker.take('one', { max: 1_000 })).to.have.length(1);
    });

    it('the next message to who waits for it, as soon as it comes', async () => {
      const waiting = broker.take('one', { waitMs: 10_000 });
      await until(async () => await test.redis.hexists('{hence}:ps:waiters', 'one'));
      const from = performance.now();
      await test.publish('a', 1);
      expect(await waiting).to.have.length(1);
      expect(performance.now() - from).to.be.below(900);
    });

    it('nothing to a waiter who gave up or whose time is up', async () => {
      const ending = new AbortController();
      const waiting = broker.take('one', { waitMs: 10_000, signal: ending.signal });
      await until(async () => await test.redis.hexists('{hence}:ps:waiters', 'one'));
      ending.abort();
      expect(await waiting).to.deep.equal([]);
      expect(await broker.take('one', { waitMs: 30 })).to.deep.equal([]);
      await test.publish('a', 1);
      expect(await take('one')).to.have.length(1);
    });
  });

  describe('rejects', () => {
    beforeEach(() => broker.subscribe(pull('one', 'a')));

    it('a message back to its own place', async () => {
      for (const value of [1, 2, 3]) await test.publish('a', value);
      const taken = await take('one', 2);
      expect(await broker.reject('one', taken)).to.deep.equal(['waiting', 'waiting']);
      expect(await values('one')).to.deep.equal([1, 2, 3]);
    });

    it('after a delay, and wakes by tending', async () => {
      await test.publish('a', 1);
      const taken = await take('one');
      const later = taken.map((lease) => ({ ...lease, delayMs: 40, reason: 'busy' }));
      expect(await broker.reject('one', later)).to.deep.equal(['delayed']);
      expect(await take('one')).to.deep.equal([]);
      const [queued] = (await broker.browse('one', { state: 'delayed' })).items;
      expect(queued).to.include({ lastError: 'busy', failures: 1, deliveries: 1 });
      await until(async () => {
        await broker.tend();
        return (await broker.depth(['one']))[0]?.waiting === 1;
      });
    });

    it('for good after the last attempt, with reason, attempts and error', async () => {
      await test.publish('a', 1);
      for (let attempt = 1; attempt <= 3; attempt++) {
        const taken = await take('one');
        const [outcome] = await broker.reject(
          'one',
          taken.map((lease) => ({
            ...lease,
            maxDeliveries: 3,
            reason: `no ${attempt}`,
            version: 'v2',
          })),
        );
        expect(outcome).to.equal(attempt < 3 ? 'waiting' : 'dead');
      }
      const { items, total } = await broker.browse('one', { state: 'dead' });
      expect(total).to.equal(1);
      expect(items[0]).to.include({
        reason: 'max-deliveries',
        lastError: 'no 3',
        deliveries: 3,
        failures: 3,
        version: 'v2',
      });
      expect(await take('one')).to.deep.equal([]);
    });

    it('at once what can never be done, and not for what is nobody’s fault', async () => {
      await test.publish('a', 1);
      const first = await take('one');
      await broker.reject(
        'one',
        first.map((lease) => ({ ...lease, countFailure: false })),
      );
      const [again, ...none] = await take('one');
      expect(none).to.deep.equal([]);
      expect(again).to.include({ deliveries: 2, failures: 0 });
      const outcome = await broker.reject(
        'one',
        again ? [{ ...again, dead: 'no such "thing"' }] : [],
      );
      expect(outcome).to.deep.equal(['dead']);
      const [dead] = (await broker.browse('one', { state: 'dead' })).items;
      expect(dead).to.include({ reason: 'no such "thing"' });
    });

    it('a message that killed its worker until it is a dead letter [F05]', async () => {
      await test.publish('a', 1);
      for (let attempt = 0; attempt < 3; attempt++) {
        await until(
          async () => (await broker.take('one', { leaseMs: 1, maxDeliveries: 3 })).length > 0,
        );
      }
      await until(async () => {
        await broker.tend();
        return (await broker.depth(['one']))[0]?.dead === 1;
      });
      const [dead] = (await broker.browse('one', { state: 'dead' })).items;
      expect(dead).to.include({ reason: 'crashed-worker', failures: 3, deliveries: 3 });
    });

    it('keeps the message in its queue while the dead letters are full [F51]', async () => {
      const small = await openBroker(server.path, { limits: { maxDead: 1 } });
      try {
        await test.publish('a', 1);
        await test.publish('a', 2);
        const taken = await small.broker.take('one');
        const outcome = await small.broker.reject(
          'one',
          taken.map((lease) => ({ ...lease, dead: 'no' })),
        );
        expect(outcome).to.deep.equal(['dead', 'delayed']);
        expect((await broker.depth(['one']))[0]).to.include({ dead: 1, delayed: 1 });
      } finally {
        small.close();
      }
    });

    it('to the dead letters what the reader may no longer have [F52]', async () => {
      const strict = await openBroker(server.path, { mayReceive: (_, topic) => topic !== 'a' });
      try {
        await test.publish('a', 1);
        expect(await strict.broker.take('one')).to.deep.equal([]);
        const [dead] = (await broker.browse('one', { state: 'dead' })).items;
        expect(dead).to.include({ reason: 'not-permitted' });
      } finally {
        strict.close();
      }
    });
  });

  describe('expires', () => {
    beforeEach(() => broker.subscribe(pull('one', 'a')));

    it('messages by their own time, taken or not', async () => {
      await test.publish('a', 1, { expirationMs: 20 });
      await test.publish('a', 2);
      await until(async () => (await broker.depth(['one']))[0]?.oldestAt !== undefined);
      await until(async () => {
        await broker.tend();
        return (await broker.depth(['one']))[0]?.waiting === 1;
      });
      expect(await values('one')).to.deep.equal([2]);
      expect(await test.redis.hlen('{hence}:ps:msgs')).to.equal(1);
    });

    it('by the clock of Redis: a node whose clock is an hour ahead expires nothing [F34]', async () => {
      await test.publish('a', 1, { expirationMs: 60_000 });
      const clock = Date.now;
      Date.now = () => clock() + 3_600_000;
      try {
        await broker.tend();
        expect(await values('one')).to.deep.equal([1]);
      } finally {
        Date.now = clock;
      }
    });

    it('no dead letter, and nothing that was driven again', async () => {
      await test.publish('a', 1, { expirationMs: 30 });
      const taken = await take('one');
      await broker.reject(
        'one',
        taken.map((lease) => ({ ...lease, dead: 'no' })),
      );
      const { expiresAt } = taken[0]?.message ?? { expiresAt: 0 };
      await until(() => Date.now() > expiresAt + 5);
      await broker.tend();
      expect((await broker.depth(['one']))[0]?.dead).to.equal(1);
      expect(await broker.redrive('one')).to.equal(1);
      await broker.tend();
      expect(await values('one')).to.deep.equal([1]);
    });
  });

  describe('lets an operator', () => {
    beforeEach(() => broker.subscribe(pull('one', 'a')));

    it('browse page by page without consuming', async () => {
      for (let n = 0; n < 5; n++) await test.publish('a', n);
      const page = await broker.browse('one', { state: 'waiting', from: 2, limit: 2 });
      expect(page.total).to.equal(5);
      expect(page.items.map(({ message }) => jsonOf(message))).to.deep.equal([2, 3]);
      expect(await rejection(broker.browse('one', { state: 'waiting', limit: 1_001 }))).to.include({
        code: 'bad-request',
      });
      expect(await values('one')).to.deep.equal([0, 1, 2, 3, 4]);
    });

    it('find a message in every queue that holds it, and none by a forged id', async () => {
      await broker.subscribe(pull('two', 'a'));
      const { msgId } = await test.publish('a', 1);
      await take('two');
      const found = await broker.find(msgId);
      expect(found.map(({ subKey, state }) => `${subKey} ${state}`).sort()).to.deep.equal([
        'one waiting',
        'two leased',
      ]);
      expect(await broker.find(msgId.replace(/^zpsm\.\d{8}/, 'zpsm.20200101'))).to.deep.equal([]);
      expect(await broker.find('nonsense')).to.deep.equal([]);
    });

    it('remove a message, but not while it is being delivered', async () => {
      const { msgId } = await test.publish('a', 1);
      const leases = await take('one');
      expect(await rejection(broker.remove('one', msgId))).to.include({ code: 'conflict' });
      await broker.reject('one', leases);
      expect(await broker.remove('one', msgId)).to.equal(true);
      expect(await broker.remove('one', msgId)).to.equal(false);
      expect(await test.redis.keys('{hence}:q:*')).to.deep.equal([]);
    });

    it('purge what was there, of one state', async () => {
      for (let n = 0; n < 1_203; n++) await test.publish('a', n);
      const leased = await take('one', 3);
      expect(await broker.purge('one', { state: 'waiting', olderThanMs: 3_600_000 })).to.equal(0);
      expect(await broker.purge('one', { state: 'waiting' })).to.equal(1_200);
      expect((await broker.depth(['one']))[0]).to.include({ waiting: 0, leased: 3 });
      expect(await broker.ack('one', leased)).to.deep.equal([true, true, true]);
      expect(await test.redis.hlen('{hence}:ps:msgs')).to.equal(0);
    });

    it('drive dead messages again, chosen or all', async () => {
      const ids: string[] = [];
      for (let n = 0; n < 4; n++) ids.push((await test.publish('a', n)).msgId);
      const taken = await take('one');
      await broker.reject(
        'one',
        taken.map((lease) => ({ ...lease, dead: 'no' })),
      );
      expect(await broker.redrive('one', { msgIds: [ids[2] ?? '', 'zpsm.none'] })).to.equal(1);
      expect(await values('one')).to.deep.equal([2]);
      expect(await broker.redrive('one', { max: 1 })).to.equal(1);
      expect(await broker.redrive('one')).to.equal(2);
      const again = await take('one');
      expect(again.map(({ message }) => jsonOf(message))).to.deep.equal([0, 1, 3]);
      expect(again[0]).to.include({ deliveries: 2, failures: 0 });
    });

    it('end a subscription without leaving anything behind [F52]', async () => {
      await broker.subscribe(pull('two', 'a'));
      for (let n = 0; n < 700; n++) await test.publish('a', n, { expirationMs: 60_000 });
      const taken = await take('one', 10);
      await broker.reject(
        'one',
        taken.slice(0, 5).map((lease) => ({ ...lease, dead: 'no' })),
      );
      await broker.reject(
        'one',
        taken.slice(5).map((lease) => ({ ...lease, delayMs: 9_999 })),
      );
      await take('one', 7);
      expect(await broker.unsubscribe('one')).to.equal(true);
      expect(await test.redis.keys('{hence}:q:one:*')).to.deep.equal([]);
      expect((await broker.depth(['two']))[0]?.waiting).to.equal(700);
      expect(await broker.unsubscribe('two')).to.equal(true);
      expect(await test.redis.hlen('{hence}:ps:msgs')).to.equal(0);
      expect(await test.redis.hlen('{hence}:ps:refs')).to.equal(0);
      expect(await test.redis.zcard('{hence}:ps:due')).to.equal(0);
    });

    it('sweep queues whose subscription went away with its process', async () => {
      await test.publish('a', 1);
      await test.redis.hdel('{hence}:ps:subs', 'one');
      await test.redis.incr('{hence}:ps:subs:rev');
      expect(await broker.sweepOrphans()).to.deep.equal(['one']);
      expect(await test.redis.keys('{hence}:q:*')).to.deep.equal([]);
      expect(await broker.sweepOrphans()).to.deep.equal([]);
    });
  });

  describe('wakes deliveries', () => {
    beforeEach(() => broker.subscribe(push('one', 'a')));

    it('once, until they rest', async () => {
      await test.publish('a', 1);
      await test.publish('a', 2);
      expect(test.woken).to.deep.equal(['one']);
      expect(await broker.rest('one')).to.include({ asleep: false });
      await broker.ack('one', await take('one'));
      expect(await broker.rest('one')).to.deep.equal({ asleep: true });
      await test.publish('a', 3);
      expect(test.woken).to.deep.equal(['one', 'one']);
    });

    it('that rest until a time by nothing but the time or a call', async () => {
      await test.publish('a', 1);
      await broker.rest('one', { until: Date.now() + 60_000 });
      await test.publish('a', 2);
      await broker.tend();
      expect(test.woken).to.deep.equal(['one']);
      await broker.wake(['one']);
      expect(test.woken).to.deep.equal(['one', 'one']);
      await broker.rest('one', { until: Date.now() + 30 });
      await until(async () => {
        await broker.tend();
        return test.woken.length === 3;
      });
    });

    it('whose message comes back by its delay or its lease', async () => {
      await test.publish('a', 1);
      await broker.take('one', { leaseMs: 30 });
      const rest = await broker.rest('one');
      expect(rest.asleep).to.equal(true);
      expect(rest.nextAt).to.be.a('number');
      await until(async () => {
        await broker.tend();
        return test.woken.length === 2;
      });
    });

    it('that went quiet are named until they live again', async () => {
      await test.publish('a', 1);
      await until(async () => (await broker.quiet(20)).includes('one'));
      await broker.awake('one');
      expect(await broker.quiet(10_000)).to.deep.equal([]);
    });
  });
});

import { expect } from 'chai';
import type { BrokerOptions } from '../../runtime/pubsub/broker.ts';
import { defaultLimits } from '../../runtime/pubsub/limits.ts';
import { jsonOf, openBroker, pull, push, type TestBroker } from '../support/broker.ts';
import { startRedis, type TestRedis } from '../support/redis.ts';
import { rejection } from '../support/rejection.ts';
import { until } from '../support/until.ts';
import { Crew } from './crew.ts';
import type { PublisherOrder } from './programs/publisher.ts';

const ten = Array.from({ length: 10 }, (_, n) => `s${n}`);

describe('Publishing', () => {
  let server: TestRedis;
  let test: TestBroker;
  let crew: Crew | undefined;

  beforeEach(async () => {
    server = await startRedis();
    test = await openBroker(server.path);
  });

  afterEach(async () => {
    await crew?.dismiss();
    crew = undefined;
    test.close();
    await server.stop();
  });

  const reopen = async (options: Partial<BrokerOptions>) => {
    test.close();
    test = await openBroker(server.path, options);
  };

  /** Publishers that are killed while 64 publications of each are under way; nobody takes over. */
  const killMidway = async (publishers: number, order: Partial<PublisherOrder>) => {
    crew = await Crew.hire(server.path);
    for (let n = 0; n < publishers; n++) {
      const before = crew.publishings.length;
      crew.publisher({ count: 1_000_000, concurrency: 64, ...order });
      await until(() => (crew?.publishings.length ?? 0) > before + 200);
      await crew.publishers.at(-1)?.dismiss();
    }
    return crew;
  };

  /** Of each key, how many queues have it. */
  const spread = async (subKeys: readonly string[]) => {
    const counts = new Map<string, number>();
    for (const subKey of subKeys) {
      for (;;) {
        const taken = await test.broker.take(subKey, { max: 1_000 });
        if (taken.length === 0) break;
        await test.broker.ack(subKey, taken);
        for (const { message } of taken) {
          const key = String(jsonOf(message));
          counts.set(key, (counts.get(key) ?? 0) + 1);
        }
      }
    }
    return counts;
  };

  const partly = (counts: ReadonlyMap<string, number>) =>
    [...counts.values()].filter((count) => count !== ten.length).length;

  describe('by a process that is killed before the reply', () => {
    const killed = async (keyed: boolean) => {
      await test.broker.subscribe(pull('one', 'ledger'));
      crew = await Crew.hire(server.path);
      crew.publisher({ count: 4_000, concurrency: 64, keyed });
      for (let kills = 1; kills <= 4; kills++) {
        await until(() => (crew?.publishings.length ?? 0) > kills * 500);
        crew.publishers[0]?.kill();
      }
      await crew.published();
      crew.subscriber({ subKeys: ['one'], batch: 500 });
      await until(async () => (await test.broker.depth(['one']))[0]?.waiting === 0);
      await until(async () => (await test.broker.depth(['one']))[0]?.leased === 0);
      return crew.audit(['one']);
    };

    it('is repeated with the same key, and gives one message [F01]', async () => {
      const books = await killed(true);
      expect(books).to.deep.include({ acked: 4_000, lost: [], twice: [], duplicates: 0 });
    });

    it('gives more than one message of a publication [F01, without keys]', async () => {
      const books = await killed(false);
      expect(books).to.deep.include({ acked: 4_000, lost: [] });
      expect(books.twice).to.not.deep.equal([]);
    });
  });

  describe('by a process that is killed in the middle of a fan-out', () => {
    beforeEach(async () => {
      for (const subKey of ten)
        await test.broker.subscribe(pull(subKey, 'ledger', `only.${subKey}`));
    });

    it('is in all of 10 queues or in none [F02]', async () => {
      await killMidway(4, {});
      const counts = await spread(ten);
      expect(counts.size).to.be.greaterThan(800);
      expect(partly(counts)).to.equal(0);
    });

    it('is in some of them when it is not one script [F02, one publication per queue]', async () => {
      await killMidway(4, { topics: ten.map((subKey) => `only.${subKey}`), keyed: false });
      expect(partly(await spread(ten))).to.be.greaterThan(0);
    });

    it('is finished by another process where it takes many scripts [F02, F81]', async () => {
      await killMidway(4, { chunk: 1 });
      expect(await test.redis.hlen('{hence}:ps:fans')).to.be.greaterThan(0);
      await reopen({ limits: { chunk: 1 } });
      await test.broker.tend();
      expect(await test.redis.keys('{hence}:ps:fans')).to.deep.equal([]);
      expect(partly(await spread(ten))).to.equal(0);
      expect(await test.redis.hlen('{hence}:ps:msgs')).to.equal(0);
    });

    it('stays unfinished where no process tends the broker [F02, F81, without tending]', async () => {
      await killMidway(4, { chunk: 1 });
      expect(partly(await spread(ten))).to.be.greaterThan(0);
    });
  });

  it('goes on while Redis forgets its scripts again and again [F32]', async () => {
    await test.broker.subscribe(pull('one', 'a'));
    let flushing = true;
    let flushes = 0;
    const flushed = (async () => {
      for (; flushing; flushes++) await test.redis.script('FLUSH');
    })();
    for (let n = 0; n < 300; n++) {
      await test.publish('a', n);
      const taken = await test.broker.take('one');
      expect(taken.map(({ message }) => jsonOf(message))).to.deep.equal([n]);
      expect(await test.broker.ack('one', taken)).to.deep.equal([true]);
    }
    flushing = false;
    await flushed;
    expect(flushes).to.be.greaterThan(300);
  });

  it('is not possible by a digest alone when the scripts are gone [F32, without the fallback]', async () => {
    const sha = String(await test.redis.script('LOAD', 'return 1'));
    await test.redis.script('FLUSH');
    expect((await rejection(test.redis.evalsha(sha, 0))).message).to.contain('NOSCRIPT');
  });

  it('ten times at once gives one message with a key [F76], ten without', async () => {
    await test.broker.subscribe(pull('one', 'a'));
    const tenTimes = (meta: { readonly idempotencyKey?: string }, value: number) =>
      Promise.all(Array.from({ length: 10 }, () => test.publish('a', value, meta)));
    for (let n = 0; n < 200; n++) {
      const sent = await tenTimes({ idempotencyKey: `k${n}` }, n);
      expect(new Set(sent.map(({ msgId }) => msgId)).size).to.equal(1);
      expect(sent.filter(({ duplicate }) => !duplicate)).to.have.length(1);
    }
    expect((await test.broker.depth(['one']))[0]?.waiting).to.equal(200);
    await tenTimes({}, 0);
    expect((await test.broker.depth(['one']))[0]?.waiting).to.equal(210);
  });

  it('other data under a used key is a conflict, also after the message was consumed [F77]', async () => {
    await test.broker.subscribe(pull('one', 'a'));
    const meta = { idempotencyKey: 'k' };
    const { msgId } = await test.publish('a', 1, meta);
    await test.broker.ack('one', await test.broker.take('one'));
    expect(await rejection(test.publish('a', 2, meta))).to.include({ code: 'conflict' });
    expect(await test.publish('a', 1, meta)).to.include({ msgId, duplicate: true });
    expect(await test.broker.take('one')).to.deep.equal([]);
  });

  it('a message of exactly the limit is taken, one byte more is not [F78]', async () => {
    await test.broker.subscribe(pull('one', 'a'));
    const { maxSize } = defaultLimits;
    const most = Buffer.alloc(maxSize, 'x');
    await test.broker.publish({ topic: 'a', cid: 'c', data: most });
    const [taken] = await test.broker.take('one');
    expect(taken?.message.data.equals(most)).to.equal(true);
    const more = { topic: 'a', cid: 'c', data: Buffer.alloc(maxSize + 1, 'x') };
    expect(await rejection(test.broker.publish(more))).to.include({ code: 'too-large' });
    await reopen({ limits: { maxSize: maxSize + 1 } });
    expect((await test.broker.publish(more)).queues).to.equal(1);
  });

  describe('to 10,000 subscriptions of one topic', () => {
    const slowest = async (chunk: number) => {
      const one = (n: number) => [`s${n}`, JSON.stringify(push(`s${n}`, 'a'))];
      await test.redis.hset(
        '{hence}:ps:subs',
        ...Array.from({ length: 10_000 }, (_, n) => one(n)).flat(),
      );
      await test.redis.set('{hence}:ps:subs:rev', 1);
      await reopen({ limits: { chunk } });
      await test.publish('a', 0);
      await test.redis.config('SET', 'slowlog-log-slower-than', '2000');
      await test.redis.slowlog('RESET');
      const from = performance.now();
      expect((await test.publish('a', 1)).queues).to.equal(10_000);
      const ms = performance.now() - from;
      const log = (await test.redis.slowlog('GET')) as readonly (readonly unknown[])[];
      return { ms, slowest: Math.max(0, ...log.map(([, , us]) => Number(us) / 1_000)) };
    };

    it('never keeps Redis for 20 ms [F81]', async () => {
      const { ms, slowest: longest } = await slowest(defaultLimits.chunk);
      expect(longest).to.be.below(20);
      expect(ms).to.be.below(2_000);
    });

    it('keeps Redis for longer than that when it is one script [F81, without chunks]', async () => {
      expect((await slowest(1_000_000)).slowest).to.be.greaterThan(20);
    });
  });
});

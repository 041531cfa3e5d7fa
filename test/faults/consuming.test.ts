import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'chai';
import { defaultLimits } from '../../runtime/pubsub/limits.ts';
import type { Delivery } from '../../runtime/pubsub/message.ts';
import { jsonOf, openBroker, pull, type TestBroker } from '../support/broker.ts';
import { startRedis, type TestRedis } from '../support/redis.ts';
import { rejection } from '../support/rejection.ts';
import { until } from '../support/until.ts';
import { Crew } from './crew.ts';

const batch = 20;

describe('Consuming', () => {
  let server: TestRedis;
  let test: TestBroker;
  let crew: Crew | undefined;

  beforeEach(async () => {
    server = await startRedis();
    test = await openBroker(server.path);
    await test.broker.subscribe(pull('one', 'ledger'));
  });

  afterEach(async () => {
    await crew?.dismiss();
    crew = undefined;
    test.close();
    await server.stop();
  });

  const drained = () =>
    until(async () => {
      await test.broker.tend();
      const [depth] = await test.broker.depth(['one']);
      return depth && depth.waiting + depth.leased + depth.delayed === 0;
    }, 15_000);

  /** 2,000 messages, and a consumer that is killed three times with messages in its hands. */
  const killed = async (ackFirst: boolean) => {
    crew = await Crew.hire(server.path);
    crew.publisher({ count: 2_000, concurrency: 64 });
    await crew.published();
    crew.subscriber({ subKeys: ['one'], batch, leaseMs: 300, workMs: 5, ackFirst });
    for (let kills = 1; kills <= 3; kills++) {
      const before = crew.deliverings.length;
      await until(() => (crew?.deliverings.length ?? 0) > before + 100);
      crew.members.at(-1)?.kill();
    }
    await drained();
    await sleep(50);
    return crew.audit(['one']);
  };

  it('by a process that is killed loses nothing: what it held comes again, flagged [F03, F04]', async () => {
    const books = await killed(false);
    expect(books).to.deep.include({ acked: 2_000, lost: [], unflagged: [] });
    expect(books.duplicates).to.be.within(1, 3 * batch);
  });

  it('by a process that is killed loses what it acknowledged before its work [F03, acknowledging first]', async () => {
    const books = await killed(true);
    expect(books.lost).to.not.deep.equal([]);
  });

  it('by a process that was frozen: others take over, and its late acknowledgement does no harm [F09]', async () => {
    crew = await Crew.hire(server.path);
    crew.publisher({ count: 1_000, concurrency: 64 });
    await crew.published();
    const consumer = { subKeys: ['one'], batch, leaseMs: 300, workMs: 20 };
    crew.subscriber(consumer);
    await until(() => (crew?.deliverings.length ?? 0) > 100);
    const frozen = crew.members.at(-1)?.pid ?? 0;
    process.kill(frozen, 'SIGSTOP');
    crew.subscriber(consumer);
    await drained();
    const before = crew.deliverings.length;
    process.kill(frozen, 'SIGCONT');
    const late = await test.publish('ledger', 'late');
    await drained();
    await until(() => (crew?.deliverings.length ?? 0) > before);
    const books = crew.audit(['one']);
    expect(late.queues).to.equal(1);
    expect(books).to.deep.include({ acked: 1_000, lost: [], unflagged: [] });
    expect(books.duplicates).to.be.at.most(batch);
  });

  /** Consumes as a service would that throws on the number 500, until nothing waits. */
  const consumeAll = async (maxDeliveries: number, rounds: number) => {
    for (let n = 0; n < 1_000; n++) await test.publish('ledger', n);
    const done = new Set<unknown>();
    for (let round = 0; round < rounds; round++) {
      const taken = await test.broker.take('one', { max: 100, maxDeliveries });
      if (taken.length === 0) break;
      const isPoison = ({ message }: Delivery) => jsonOf(message) === 500;
      const good = taken.filter((one) => !isPoison(one));
      for (const { message } of good) done.add(jsonOf(message));
      await test.broker.ack('one', good);
      const bad = taken.filter(isPoison);
      await test.broker.reject(
        'one',
        bad.map((one) => ({ ...one, maxDeliveries, reason: 'Error: no' })),
      );
    }
    return done.size;
  };

  it('a message that always fails is a dead letter after its attempts, and can be driven again [F50]', async () => {
    expect(await consumeAll(20, 200)).to.equal(999);
    const [dead] = (await test.broker.browse('one', { state: 'dead' })).items;
    expect(dead).to.include({ reason: 'max-deliveries', failures: 20, lastError: 'Error: no' });
    expect(await test.broker.redrive('one')).to.equal(1);
    const again = await test.broker.take('one');
    expect(again.map(({ message }) => jsonOf(message))).to.deep.equal([500]);
    expect(await test.broker.ack('one', again)).to.deep.equal([true]);
  });

  it('a message that always fails comes for ever [F50, without a last attempt]', async () => {
    await consumeAll(1_000_000, 200);
    expect((await test.broker.depth(['one']))[0]).to.include({ waiting: 1, dead: 0 });
  });

  it('takes no forged token for a lease that is over: other queues would pay for it [F09]', async () => {
    await test.broker.subscribe(pull('two', 'ledger'));
    await test.publish('ledger', 1);
    const [lease] = await test.broker.take('one', { leaseMs: 1 });
    await until(async () => {
      await test.broker.tend();
      return (await test.broker.depth(['one']))[0]?.waiting === 1;
    });
    for (const token of ['0', '', lease?.token ?? '']) {
      const forged = lease ? [{ ...lease, token }] : [];
      expect(await test.broker.ack('one', forged), token).to.deep.equal([false]);
      expect(await test.broker.extend('one', forged, 60_000), token).to.deep.equal([false]);
      expect(await test.broker.reject('one', forged), token).to.deep.equal(['gone']);
    }
    for (const subKey of ['one', 'two']) {
      expect(await test.broker.take(subKey), subKey).to.have.length(1);
    }
  });

  describe('by a client that dies with the messages in its hands', () => {
    const die = async (ackOnRead: boolean) => {
      await test.publish('ledger', 1);
      const client = await openBroker(server.path);
      const taken = await client.broker.take('one', { leaseMs: 100 });
      if (ackOnRead) await client.broker.ack('one', taken);
      client.close();
      await sleep(150);
      return await test.broker.take('one');
    };

    it('gives them to the next one after their lease [F53]', async () => {
      const [again] = await die(false);
      expect(again).to.include({ deliveries: 2, failures: 1 });
    });

    it('has lost them when they were acknowledged before they were received [F53, on read]', async () => {
      expect(await die(true)).to.deep.equal([]);
    });
  });

  describe('and publishing, while the subscription goes away', () => {
    const leftovers = async () => {
      const keys = await test.redis.keys('*');
      const lasting = ['ps:seq', 'ps:leases', 'ps:subs:rev', 'ps:topics', 'ps:topics:last'];
      return keys.filter((key) => !lasting.includes(key.replace('{hence}:', '')));
    };

    it('leaves nothing behind, whatever comes first [F52]', async () => {
      await test.broker.unsubscribe('one');
      const other = await openBroker(server.path);
      try {
        for (let round = 0; round < 200; round++) {
          await test.broker.subscribe(pull('one', 'a'));
          await test.publish('a', 'before', { expirationMs: 60_000 });
          const held = await other.broker.take('one', { max: 1 });
          const work = [
            () => other.publish('a', 'during', { expirationMs: 60_000 }),
            () => other.broker.take('one', { max: 10 }),
            () => other.broker.ack('one', held),
            () =>
              other.broker.reject(
                'one',
                held.map((one) => ({ ...one, delayMs: 60_000 })),
              ),
            () =>
              other.broker.reject(
                'one',
                held.map((one) => ({ ...one, dead: 'no' })),
              ),
            () => other.broker.extend('one', held, 60_000),
            () => other.broker.purge('one', { state: 'waiting' }),
          ];
          const chosen = [work[round % 7], work[(round * 3 + 1) % 7]];
          await Promise.all([chosen[0]?.(), test.broker.unsubscribe('one'), chosen[1]?.()]);
          expect(await leftovers(), `round ${round}`).to.deep.equal([]);
        }
      } finally {
        other.close();
      }
    });

    it('goes by the subscriptions there are, also when the notice of a change was lost [F52]', async () => {
      const edit = async (change: Promise<unknown>) => {
        await change;
        await test.redis.incr('{hence}:ps:subs:rev');
      };
      const subs = '{hence}:ps:subs';
      const other = await openBroker(server.path);
      try {
        expect((await other.publish('ledger', 1)).queues).to.equal(1);
        await edit(test.redis.hdel(subs, 'one'));
        expect((await other.publish('ledger', 2)).queues).to.equal(0);
        await edit(test.redis.hset(subs, 'two', JSON.stringify(pull('two', 'ledger'))));
        expect((await other.publish('ledger', 3)).queues).to.equal(1);
        expect(
          (await test.broker.depth(['one', 'two'])).map(({ waiting }) => waiting),
        ).to.deep.equal([1, 1]);
      } finally {
        other.close();
      }
    });

    it('takes no acknowledgement of a queue that is being dropped, at the cost of another queue [F52]', async () => {
      await test.broker.subscribe(pull('two', 'ledger'));
      const sent = Array.from({ length: 1_500 }, (_, n) => test.publish('ledger', n));
      await Promise.all(sent);
      const held = [
        ...(await test.broker.take('one', { max: 1_000 })),
        ...(await test.broker.take('one', { max: 500, maxInflight: 2_000 })),
      ];
      const other = await openBroker(server.path);
      try {
        const acks = async () => {
          for (let at = 1_499; at >= 0; at -= 10) {
            await other.broker.ack('one', held.slice(Math.max(0, at - 9), at + 1));
          }
        };
        await Promise.all([acks(), test.broker.unsubscribe('one')]);
      } finally {
        other.close();
      }
      const left = await test.broker.take('two', { max: 1_000 });
      await test.broker.ack('two', left);
      expect(left.length + (await test.broker.take('two', { max: 1_000 })).length).to.equal(1_500);
    });

    it('sweeps the marks of a delivery that outlived its subscription [F52]', async () => {
      await test.broker.awake('gone');
      expect(await test.broker.sweepOrphans()).to.deep.equal(['gone']);
      expect(await test.redis.exists('{hence}:ps:awake')).to.equal(0);
      expect((await test.broker.subscriptions()).map(({ subKey }) => subKey)).to.deep.equal([
        'one',
      ]);
    });
  });

  describe('by who publishes to its own topic', () => {
    /** How often it went round before it was refused. */
    const loop = async (counts: boolean) => {
      await test.publish('ledger', 0);
      for (let round = 1; round <= 100; round++) {
        const taken = await test.broker.take('one');
        const hops = counts ? (taken[0]?.message.hops ?? 0) + 1 : 0;
        const refused = await rejection(test.publish('ledger', round, { hops })).catch(
          () => undefined,
        );
        await test.broker.ack('one', taken);
        if (refused?.name === 'Fault') return { round, refused };
      }
      return { round: Number.POSITIVE_INFINITY };
    };

    it('ends after so many messages in a row [F67]', async () => {
      const { round, refused } = await loop(true);
      expect(round).to.equal(defaultLimits.maxHops + 1);
      expect(refused?.message).to.contain('loop');
    });

    it('never ends [F67, without counting]', async () => {
      expect((await loop(false)).round).to.equal(Number.POSITIVE_INFINITY);
    });
  });
});

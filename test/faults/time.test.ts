import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'chai';
import { Redis } from 'ioredis';
import { Fault } from '../../runtime/core/fault.ts';
import { connectRedis } from '../../runtime/redis/connection.ts';
import { jsonOf, openBroker, pull } from '../support/broker.ts';
import type { Audit } from '../support/ledger.ts';
import { startMiddlebox } from '../support/middlebox.ts';
import { startRedis } from '../support/redis.ts';
import { until } from '../support/until.ts';
import { Crew } from './crew.ts';
import { concurrency, type Killed, killDeliverer, type Poisoned, poison } from './deliveries.ts';

const pauseMs = 10_000;
const deadlineMs = 3_000;
const batch = 10;

/** What waits for most of its time: all of it at once. */
describe('Time', () => {
  let paused: Promise<Pause>;
  let pausedWithoutKeys: Promise<Pause>;
  let halfOpen: Promise<number | undefined>;
  let halfOpenWithoutTimeout: Promise<number | undefined>;
  let killed: Promise<Killed>;
  let poisoned: Promise<Poisoned>;
  let poisonedForEver: Promise<Poisoned>;

  before(() => {
    paused = pause(true);
    pausedWithoutKeys = pause(false);
    halfOpen = cutOff((port) => connectRedis({ url: urlOf(port) }, 'command', () => {}));
    halfOpenWithoutTimeout = cutOff((port) => {
      const redis = new Redis(urlOf(port), {
        ...{ maxRetriesPerRequest: 1, autoResendUnfulfilledCommands: false, commandTimeout: 3_000 },
      });
      return redis.on('error', () => {});
    });
    killed = killDeliverer();
    poisoned = poison(3);
    poisonedForEver = poison(1_000);
    for (const one of [paused, pausedWithoutKeys, halfOpen, halfOpenWithoutTimeout]) {
      (one as Promise<unknown>).catch(() => undefined);
    }
    for (const one of [killed, poisoned, poisonedForEver]) {
      (one as Promise<unknown>).catch(() => undefined);
    }
  });

  it('of a Redis that is paused for 10 s: each publication ends in 3 s as unknown, none is lost, none is there twice [F14]', async function () {
    this.timeout(40_000);
    const { books, callMs, outcomes, arrived } = await paused;
    expect(Math.max(...callMs)).to.be.below(deadlineMs * 1.1 + 100);
    expect(outcomes).to.deep.equal(['unknown']);
    expect(arrived).to.equal(callMs.length);
    expect(books.unknown).to.be.greaterThan(0);
    expect(books.lost).to.deep.equal([]);
    expect(books.partial).to.deep.equal([]);
    expect(books.twice).to.deep.equal([]);
  });

  it('of a pause longer than a lease: what was held comes again, flagged, and nothing dies [F15]', async function () {
    this.timeout(40_000);
    const { books, dead } = await paused;
    expect(books.duplicates).to.be.at.most(batch);
    expect(books.unflagged).to.deep.equal([]);
    expect(dead).to.equal(0);
  });

  it('of a pause makes messages of the same thing twice without idempotency keys [F14, without keys]', async function () {
    this.timeout(40_000);
    const { books } = await pausedWithoutKeys;
    expect(books.lost).to.deep.equal([]);
    expect(books.twice).to.not.deep.equal([]);
  });

  it('on a half-open connection ends: there is a new one within 6 s [F24]', async function () {
    this.timeout(20_000);
    expect(await halfOpen).to.be.below(6_000);
  });

  it('of a process that is killed, after its service worked too: another one delivers within 8 s [F03, F04]', async function () {
    this.timeout(60_000);
    const { books, ms, dead } = await killed;
    expect(books).to.deep.include({ acked: 120, lost: [], unflagged: [] });
    // In its hands: what its service works on, and what it has not acknowledged yet.
    expect(books.duplicates).to.be.within(1, 2 * concurrency);
    expect(dead).to.equal(0);
    expect(ms).to.be.below(8_000);
  });

  it('of a message that kills who has it ends with its last attempt, and with no other message [F05]', async function () {
    this.timeout(60_000);
    const { books, dead, others } = await poisoned;
    expect(dead).to.deep.equal(['crashed-worker 3']);
    expect(others).to.equal(100);
    expect(books.lost).to.deep.equal([]);
    expect(books.unflagged).to.deep.equal([]);
  });

  it('of a message that kills who has it never ends without a last attempt [F05, without it]', async function () {
    this.timeout(60_000);
    const { dead, poisonings } = await poisonedForEver;
    expect(dead).to.deep.equal([]);
    expect(poisonings).to.be.greaterThan(3);
  });

  it('on a half-open connection never ends without a timeout of the socket [F24, without it]', async function () {
    this.timeout(20_000);
    expect(await halfOpenWithoutTimeout).to.equal(undefined);
  });
});

interface Pause {
  readonly books: Audit;
  /** Of publications begun during the pause. */
  readonly callMs: readonly number[];
  readonly outcomes: readonly unknown[];
  /** How many of those are there afterwards. */
  readonly arrived: number;
  readonly dead: number;
}

async function pause(keyed: boolean): Promise<Pause> {
  const server = await startRedis();
  const test = await openBroker(server.path);
  const { broker } = test;
  await broker.subscribe(pull('one', 'ledger'));
  await broker.subscribe(pull('two', 'probe'));
  const crew = await Crew.hire(server.path);
  try {
    crew.subscriber({ subKeys: ['one'], batch, leaseMs: 1_000, workMs: 5 });
    crew.publisher({ count: 3_000, concurrency: 16, keyed });
    await until(() => crew.publishings.length > 200 && crew.deliverings.length > 20);
    process.kill(server.pid, 'SIGSTOP');
    const callMs: number[] = [];
    const outcomes = new Set<unknown>();
    const probes = Array.from({ length: 16 }, async (_, n) => {
      const from = performance.now();
      const failed = await test.publish('probe', n).catch((error: unknown) => error);
      callMs.push(performance.now() - from);
      outcomes.add(Fault.is(failed) && (failed.details as { outcome?: unknown }).outcome);
    });
    await Promise.all([...probes, sleep(pauseMs)]);
    process.kill(server.pid, 'SIGCONT');
    await crew.published();
    await until(async () => {
      await broker.tend().catch(() => undefined);
      const [depth] = await broker.depth(['one']).catch(() => []);
      return depth && depth.waiting + depth.leased + depth.delayed === 0;
    });
    const arrived = await broker.take('two', { max: 100 });
    const [depth] = await broker.depth(['one']);
    return {
      books: crew.audit(['one']),
      callMs,
      outcomes: [...outcomes],
      arrived: new Set(arrived.map(({ message }) => jsonOf(message))).size,
      dead: depth?.dead ?? -1,
    };
  } finally {
    await crew.dismiss();
    test.close();
    await server.stop();
  }
}

/** How long a broker needs to publish again when a box between it and Redis forgets its connection. */
async function cutOff(connect: (port: number) => Redis): Promise<number | undefined> {
  const server = await startRedis();
  const box = await startMiddlebox(server.path);
  const redis = connect(box.port);
  const test = await openBroker(server.path, { redis });
  try {
    await test.broker.subscribe(pull('one', 'a'));
    await test.publish('a', 0);
    box.blackhole();
    const from = performance.now();
    let sentMs: number | undefined;
    const tries: Promise<unknown>[] = [];
    while (sentMs === undefined && performance.now() - from < 8_000) {
      tries.push(
        test.publish('a', 1, { idempotencyKey: 'k' }).then(
          () => {
            sentMs ??= performance.now() - from;
          },
          () => {},
        ),
      );
      await sleep(200);
    }
    await Promise.all(tries);
    return sentMs;
  } finally {
    redis.disconnect();
    test.close();
    await box.stop();
    await server.stop();
  }
}

function urlOf(port: number): string {
  return `redis://127.0.0.1:${port}`;
}

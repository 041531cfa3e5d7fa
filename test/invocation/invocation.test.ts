import { expect } from 'chai';
import type { Redis } from 'ioredis';
import { Fault } from '../../runtime/core/fault.ts';
import { InvocationQueue, type StoredCall } from '../../runtime/invocation/invocation-queue.ts';
import { InvocationRunner } from '../../runtime/invocation/invocation-runner.ts';
import { retryDelay, retrySchedule } from '../../runtime/invocation/retry-schedule.ts';
import { connectRedis } from '../../runtime/redis/connection.ts';
import { collectingLog } from '../support/collecting-log.ts';
import { startRedis, type TestRedis } from '../support/redis.ts';
import { rejection } from '../support/rejection.ts';
import { until } from '../support/until.ts';

describe('stored calls', () => {
  let server: TestRedis;
  let queue: InvocationQueue;
  let connections: Redis[] = [];
  let runners: InvocationRunner[] = [];
  const log = collectingLog();

  const connect = (role: 'command' | 'worker') => {
    const redis = connectRedis({ path: server.path }, role, () => {});
    connections.push(redis);
    return redis;
  };
  const runner = (run: (call: StoredCall) => Promise<unknown>) => {
    const made = new InvocationRunner({ redis: connect('worker'), run, log, schedule: [300] });
    runners.push(made);
    made.start();
    return made;
  };
  const dead = async () => (await queue.list('dead', { from: 0, limit: 10 })).items;

  before(async () => {
    server = await startRedis();
  });

  beforeEach(() => {
    queue = new InvocationQueue(connect('command'));
  });

  afterEach(async () => {
    await Promise.all(runners.map((each) => each.stop(2_000)));
    await queue.close();
    await connections[0]?.flushall();
    for (const redis of connections) redis.disconnect();
    connections = [];
    runners = [];
  });

  after(() => server.stop());

  it('run with the input and cid they were stored with, and are gone afterwards', async () => {
    const calls: StoredCall[] = [];
    const id = await queue.add({ service: 'a.b', input: { n: 1 }, cid: 'c1' });
    runner(async (call) => calls.push(call));

    await until(() => calls.length === 1);
    expect(calls).to.deep.equal([{ service: 'a.b', input: { n: 1 }, cid: 'c1' }]);
    expect(id).to.be.a('string').and.not.equal('');
    await until(async () => (await queue.list('active', { from: 0, limit: 1 })).total === 0);
    expect(await dead()).to.deep.equal([]);
  });

  it('survive the process that took them: another one runs them', async () => {
    await queue.add({ service: 'a.b', input: {}, cid: 'c1' });
    let taken = false;
    const frozen = runner(() => {
      taken = true;
      return new Promise(() => {});
    });
    await until(() => taken);
    await frozen.stop(50);

    let done = false;
    runner(async () => {
      done = true;
    });
    await until(() => done, 18_000);
  }).timeout(20_000);

  it('are tried again when they throw, after a wait', async () => {
    let attempts = 0;
    await queue.add({ service: 'flaky', input: {}, cid: 'c1' });
    const startedAt = Date.now();
    runner(async () => {
      attempts++;
      if (attempts === 1) throw new Error('not yet');
    });
    await until(() => attempts === 2);
    expect(Date.now() - startedAt).to.be.at.least(250);
    const warning = log.lines.find(({ message }) => message.startsWith('stored call failed'));
    expect(warning?.facts).to.include({ attempt: 1, reason: 'internal: not yet' });
  });

  it('are dead at once when asking again cannot help, with the reason; and can be redriven', async () => {
    let fixed = false;
    const id = await queue.add({ service: 'strict', input: {}, cid: 'c7' });
    runner(async () => {
      if (!fixed) throw new Fault('bad-request', 'Service strict needs user');
    });

    await until(async () => (await dead()).length === 1);
    const [letter] = await dead();
    expect(letter).to.include({
      id,
      service: 'strict',
      cid: 'c7',
      state: 'dead',
      attempts: 1,
      reason: 'bad-request: Service strict needs user',
    });
    const line = await until(() => log.lines.find(({ message }) => message.endsWith('is dead')));
    expect(line).to.deep.include({ level: 'error' });

    fixed = true;
    await queue.retry(id);
    await until(async () => (await dead()).length === 0);
  });

  it('can be listed by state and removed; unknown and running ones are refused', async () => {
    const first = await queue.add({ service: 'one', input: {}, cid: 'c1' });
    await queue.add({ service: 'two', input: {}, cid: 'c2' });

    const { items, total } = await queue.list('waiting', { from: 0, limit: 1 });
    expect(total).to.equal(2);
    expect(items.map(({ service }) => service)).to.deep.equal(['one']);
    expect(await rejection(queue.retry(first))).to.include({ code: 'conflict' });
    await queue.remove(first);
    expect(await rejection(queue.remove(first))).to.include({ code: 'not-found' });
    let running = false;
    runner(() => {
      running = true;
      return new Promise((resolve) => setTimeout(resolve, 300));
    });
    await until(() => running);
    const [active] = (await queue.list('active', { from: 0, limit: 1 })).items;
    expect(await rejection(queue.remove(active?.id ?? ''))).to.include({ code: 'conflict' });
  });

  it('are refused, not lost, when they cannot be stored', async () => {
    const cyclic: Record<string, unknown> = {};
    cyclic['self'] = cyclic;
    expect(await rejection(queue.add({ service: 'a', input: cyclic, cid: 'c' }))).to.include({
      code: 'bad-request',
    });
    const big = await rejection(queue.add({ service: 'a', input: { n: 1n }, cid: 'c' }));
    expect(big.message).to.contain('The input for a is not JSON');
  });
});

describe('the retry schedule', () => {
  it('grows from over 5 s to hours, varied by a tenth, and ends', () => {
    expect(retryDelay(1, retrySchedule, 0)).to.equal(5_400);
    expect(retryDelay(1, retrySchedule, 1)).to.equal(6_600);
    expect(retryDelay(retrySchedule.length, retrySchedule, 0.5)).to.equal(36_000_000);
    expect(retryDelay(retrySchedule.length + 1)).to.equal(-1);
  });
});

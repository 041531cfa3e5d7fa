import { expect } from 'chai';
import type { Redis } from 'ioredis';
import { Fault } from '../../runtime/core/fault.ts';
import { connectRedis } from '../../runtime/redis/connection.ts';
import { type ScheduleSpec, scheduleType } from '../../runtime/schedule/schedule-definition.ts';
import type { NamedSchedule, ScheduleRun } from '../../runtime/schedule/schedule-run.ts';
import {
  type ScheduledRun,
  ScheduleRunner,
  type ScheduleRunnerOptions,
} from '../../runtime/schedule/schedule-runner.ts';
import { Schedules } from '../../runtime/schedule/schedules.ts';
import { collectingLog } from '../support/collecting-log.ts';
import { startRedis, type TestRedis } from '../support/redis.ts';
import { rejection } from '../support/rejection.ts';
import { until } from '../support/until.ts';

type Definition = NamedSchedule<ScheduleSpec>;

function define(name: string, spec: Readonly<Record<string, unknown>>): Definition {
  return { name, spec: scheduleType().schema.parse({ service: 'a.b', ...spec }) };
}

const never = new Promise<never>(() => {});

describe('Schedules', () => {
  let server: TestRedis;
  let redis: Redis;
  let log = collectingLog();
  let defined: Definition[] = [];
  let schedules: Schedules;
  let connections: Redis[] = [];
  let runners: ScheduleRunner[] = [];
  let runs: ScheduledRun[] = [];

  const connect = (role: 'command' | 'worker') => {
    const made = connectRedis({ path: server.path }, role, () => {});
    connections.push(made);
    return made;
  };
  const runner = (options: Partial<ScheduleRunnerOptions> = {}) => {
    const { run = async () => ({}), ...rest } = options;
    const made = new ScheduleRunner({
      redis: connect('worker'),
      commands: connect('command'),
      run: (each) => {
        runs.push(each);
        return run(each);
      },
      versionOf: () => 7,
      log,
      ...rest,
    });
    runners.push(made);
    made.start();
    return made;
  };
  const one = (): Definition => {
    const [first] = defined;
    if (!first) throw new Error('nothing is defined');
    return first;
  };
  const history = async (definition = one()): Promise<readonly ScheduleRun[]> =>
    (await schedules.detail(definition)).history;
  const state = async (definition = one()) => (await schedules.detail(definition)).state;
  const put = (...definitions: Definition[]) => {
    defined = definitions;
    return schedules.reconcile(defined);
  };

  before(async () => {
    server = await startRedis();
  });

  beforeEach(() => {
    redis = connect('command');
    log = collectingLog();
    runs = [];
    defined = [];
    schedules = new Schedules({ redis: connect('command'), definitions: () => defined, log });
  });

  afterEach(async () => {
    await Promise.all(runners.map((each) => each.stop(500)));
    await schedules.close();
    await redis.flushall();
    for (const each of connections) each.disconnect();
    connections = [];
    runners = [];
  });

  after(() => server.stop());

  describe('in Redis', () => {
    it('become what is defined, and stay when nothing changed', async () => {
      const first = await put(define('a', { every: '1h' }), define('b', { cron: '0 9 * * *' }));
      expect(first).to.deep.equal({ created: ['a', 'b'], changed: [], removed: [] });
      const before = await snapshot(redis);
      const again = await put(...defined);
      expect(again).to.deep.equal({ created: [], changed: [], removed: [] });
      expect(await snapshot(redis)).to.deep.equal(before);
      const [a, b] = await schedules.describe(defined);
      expect(Date.parse(a?.next ?? '') % 3_600_000).to.equal(0);
      expect(b?.next).to.match(/T09:00:00\.000Z$/);
      expect(a).to.include({ runs: 0, finished: false });
    });

    it('change alone: what the others wait for is not touched', async () => {
      const other = define('other', { every: '1h' });
      await put(other, define('a', { cron: '0 9 * * *' }));
      const before = await snapshot(redis, 'other');
      const report = await put(
        other,
        define('a', { cron: '0 10 * * *', timezone: 'Asia/Kolkata' }),
      );
      expect(report).to.deep.equal({ created: [], changed: ['a'], removed: [] });
      expect(await snapshot(redis, 'other')).to.deep.equal(before);
      const [, a] = await schedules.describe(defined);
      expect(a?.next).to.match(/T04:30:00\.000Z$/);
      expect(await waiting(redis)).to.have.length(2);
    });

    it('change from an interval to a cron, to another interval and to another start', async () => {
      const soon = new Date(Date.now() + 90_000).toISOString();
      const steps = [
        { every: '1h' },
        { cron: '0 9 * * *' },
        { every: '2h' },
        { every: '2h', start: soon },
        { cron: '*/5 * * * *', start: soon },
      ];
      for (const spec of steps) {
        await put(define('a', spec));
        const { next } = await state();
        const [job] = await waiting(redis);
        expect(job, JSON.stringify(spec)).to.equal(`repeat:a:${Date.parse(next ?? '')}`);
        expect(await waiting(redis)).to.have.length(1);
        expect(await put(...defined)).to.deep.include({ changed: [] });
      }
    });

    it('leave no key behind when they are deleted, except the queue itself', async () => {
      await put(define('a', { every: '1s' }), define('b', { cron: '* * * * *' }));
      runner();
      await schedules.run(one(), { cid: 'c1' });
      await until(() => runs.length >= 2);
      expect(await put()).to.deep.include({ removed: ['a', 'b'] });
      const keys = async () => (await redis.keys('*schedule*')).filter(isOfSchedule).sort();
      await until(async () => (await keys()).length === 0);
    });

    it('do not tick while they are disabled, and keep their history', async () => {
      await put(define('a', { every: '1s' }));
      runner();
      await until(async () => (await history()).length === 1);
      await put(define('a', { every: '1s', enabled: false }));
      expect(await waiting(redis)).to.deep.equal([]);
      expect((await schedules.detail(one())).upcoming).to.deep.equal([]);
      expect((await state()).next).to.equal(undefined);
      expect((await history()).length).to.be.at.least(1);
      await put(define('a', { every: '1h' }));
      expect(await waiting(redis)).to.have.length(1);
    });

    it('are mended: a tick that was lost, and a Redis that was emptied', async () => {
      await put(define('a', { every: '1h' }), define('b', { cron: '0 9 * * *' }));
      for (const job of await waiting(redis)) {
        await redis.zrem('{hence}:schedules:delayed', job);
        await redis.del(`{hence}:schedules:${job}`);
      }
      expect(await put(...defined)).to.deep.include({ changed: ['a', 'b'] });
      expect(await waiting(redis)).to.have.length(2);

      await redis.flushall();
      expect(await put(...defined)).to.deep.include({ created: ['a', 'b'] });
      expect(await waiting(redis)).to.have.length(2);
    });

    it('are mended when the clock was set back: an interval does not wait for the time that was', async () => {
      await put(define('a', { every: '1m' }));
      const [job = ''] = await waiting(redis);
      const far = Date.now() - (Date.now() % 60_000) + 3_600_000;
      await redis.zadd('{hence}:schedules:repeat', far, 'a');
      await redis.zrem('{hence}:schedules:delayed', job);
      await redis.zadd('{hence}:schedules:delayed', far * 4_096, `repeat:a:${far}`);
      await redis.rename(`{hence}:schedules:${job}`, `{hence}:schedules:repeat:a:${far}`);
      await put(...defined);
      const [mended = ''] = await waiting(redis);
      expect(Number(mended.split(':').at(-1)) - Date.now()).to.be.at.most(60_000);
    });

    it('follow their definitions by themselves, also after Redis was away', async () => {
      const own = new Schedules({
        redis: connect('command'),
        definitions: () => defined,
        log,
        tendMs: 100,
      });
      own.start();
      defined = [define('a', { every: '1h' })];
      await own.refresh();
      expect(await waiting(redis)).to.have.length(1);
      await server.restart();
      await until(async () => (await waiting(redis).catch(() => [])).length === 1);
      await own.close();
      expect(log.lines.filter(({ message }) => message === 'schedules changed')).to.have.length(2);
    });

    it('know their next five ticks, fewer when fewer are left', async () => {
      await put(define('a', { cron: '0 9 * * *' }), define('b', { every: '1d', maxRuns: 2 }));
      const [a, b] = await Promise.all(defined.map((each) => schedules.detail(each)));
      expect(a?.upcoming).to.have.length(5);
      expect(a?.upcoming[0]).to.equal(a?.state.next);
      expect(b?.upcoming).to.have.length(2);
    });
  });

  describe('with workers', () => {
    it('run each tick once in the cluster, with its input; the history has when, how long, cid and version', async () => {
      const input = { text: 'caf\u00e9 \ud83d\ude00 \ud800', deep: [[[1]]] };
      await put(define('a', { cron: '* * * * * *', input }));
      for (let workers = 0; workers < 3; workers++) runner();
      await until(async () => (await history()).length >= 2);
      const noted = [...(await history())].reverse();
      const [first, second] = noted;
      expect(Date.parse(second?.dueAt ?? '') - Date.parse(first?.dueAt ?? '')).to.equal(1_000);
      expect(first).to.deep.include({ kind: 'tick', result: 'ok', version: 7, cid: runs[0]?.cid });
      expect(first?.ms).to.be.a('number');
      const late = Date.parse(first?.startedAt ?? '') - Date.parse(first?.dueAt ?? '');
      expect(late).to.be.within(-50, 900);
      expect(runs[0]).to.deep.include({
        schedule: 'a',
        service: 'a.b',
        input,
        timeoutMs: 3_600_000,
      });
      expect(runs.map(({ cid }) => cid)).to.deep.equal(noted.map(({ cid }) => cid));
      expect((await state()).runs).to.equal(noted.length);
    });

    it('call with an empty object where there is no input, and with null where it is null', async () => {
      await put(define('a', { every: '1h' }));
      runner();
      await schedules.run(one(), { cid: 'c1', waitMs: 3_000 });
      await schedules.run(define('a', { every: '1h', input: null }), { cid: 'c2', waitMs: 3_000 });
      expect(runs.map(({ input }) => input)).to.deep.equal([{}, null]);
    });

    it('never run twice at once: ticks that find a run going on are skipped, and counted', async () => {
      await put(define('a', { every: '1s' }));
      let end = () => {};
      const running = new Promise<void>((resolve) => {
        end = resolve;
      });
      runner({ run: () => running.then(() => ({})) });
      runner({ run: () => running.then(() => ({})) });
      await schedules.run(one(), { cid: 'c0' });
      await until(async () => (await history())[0]?.times === 2);
      expect(runs).to.have.length(1);
      expect((await state()).running[0]).to.include({ kind: 'manual', cid: 'c0' });
      const busy = await rejection(schedules.run(one(), { cid: 'c1' }));
      expect(busy).to.include({ code: 'conflict' });
      expect(busy.message).to.contain(`is running (cid c0)`);
      end();
      await until(async () => (await history()).some(({ result }) => result === 'ok'));
      const skipped = (await history()).find(({ result }) => result === 'skipped');
      expect(skipped?.error).to.equal('the run before it was not over');
      const lines = log.lines.filter(({ message }) => message === 'scheduled run skipped');
      expect(lines.map(({ level }) => level)).to.deep.equal(['warn']);
    });

    it('run at the same time where that is allowed', async () => {
      await put(define('a', { every: '1s', overlap: true }));
      runner({ run: () => never });
      await schedules.run(one(), { cid: 'c1' });
      await until(() => runs.length === 2);
      expect((await state()).running).to.have.length(2);
    });

    it('tell of a failure with its cid, do not try it again, and tick on', async () => {
      await put(define('a', { every: '1s' }));
      runner({
        run: async () => {
          throw runs.length === 1 ? new Fault('unavailable', 'The CRM is away') : new Error('oops');
        },
      });
      await until(async () => (await history()).length >= 2);
      const [second, first] = (await history()).slice(-2);
      expect(first).to.include({ result: 'failed', error: 'unavailable: The CRM is away' });
      expect(second).to.include({ result: 'failed', error: 'internal: oops' });
      expect(first?.dueAt).to.not.equal(second?.dueAt);
      const lines = log.lines.filter(({ message }) => message === 'scheduled run failed');
      expect(lines[0]).to.deep.include({ level: 'error' });
      expect(lines[0]?.facts).to.include({ cid: first?.cid, schedule: 'a', service: 'a.b' });
      expect(lines[1]?.facts['error']).to.be.an('error').with.property('message', 'oops');
    });

    it('give up on a service that does not end in time', async () => {
      await put(define('a', { every: '1h', timeout: '50ms' }));
      runner({ run: () => never });
      const reply = await schedules.run(one(), { cid: 'c1', waitMs: 5_000 });
      expect(reply).to.include({
        result: 'failed',
        error: 'timeout: Service a.b did not end in 50 ms',
      });
      expect((await state()).running).to.deep.equal([]);
    });

    it('end after their last run, and begin again when more are allowed', async () => {
      await put(define('a', { every: '1s', maxRuns: 1 }));
      runner();
      await until(async () => (await state()).finished);
      await put(...defined);
      expect(await waiting(redis)).to.deep.equal([]);
      expect((await schedules.detail(one())).upcoming).to.deep.equal([]);
      await schedules.run(one(), { cid: 'c1', waitMs: 3_000 });
      expect((await state()).runs).to.equal(1);
      await put(define('a', { every: '1s', maxRuns: 2 }));
      await until(async () => (await state()).runs === 2);
      expect(runs).to.have.length(3);
    });

    it('run once for all ticks that came while no worker ran, or not at all', async () => {
      const late = define('late', { every: '1s', missed: 'once' });
      const strict = define('strict', { every: '1s', missed: 'skip' });
      await put(late, strict);
      const [due = ''] = await waiting(redis);
      const first = Number(due.split(':').at(-1));
      await until(() => Date.now() > first + 1_100);
      runner({ missedAfterMs: 1_000 });
      await until(
        async () => (await history(late)).length >= 2 && (await history(strict)).length >= 2,
      );
      const [second, once] = (await history(late)).slice(-2);
      expect(once).to.include({ result: 'ok', dueAt: new Date(first).toISOString() });
      expect(Date.parse(second?.dueAt ?? '')).to.be.at.least(first + 2_000);
      const [next, missed] = (await history(strict)).slice(-2);
      expect(missed).to.include({ result: 'skipped', error: 'no worker ran when it was due' });
      expect(next?.result).to.equal('ok');
    });

    it('run as they are defined when they run, not when the tick was made', async () => {
      await put(define('a', { every: '1s' }));
      await put(define('a', { every: '1s', service: 'c.d' }));
      runner();
      await until(() => runs.length === 1);
      expect(runs[0]?.service).to.equal('c.d');
    });

    it('run again elsewhere, with the same cid, when their process ended', async () => {
      await put(define('a', { every: '1h' }));
      const frozen = runner({ run: () => never });
      const { id } = await schedules.run(one(), { cid: 'c1' });
      await until(() => runs.length === 1);
      await frozen.stop(20);
      expect((await state()).running).to.have.length(1);
      // It would run out after 6 s.
      expect(await redis.del(`{hence}:schedules:${id}:lock`)).to.equal(1);
      runner();
      const [again] = await until(async () => {
        const noted = await history();
        return noted.length === 1 && noted;
      }, 15_000);
      expect(again).to.include({ kind: 'manual', result: 'ok', cid: 'c1', again: true });
      expect(runs.map(({ cid }) => cid)).to.deep.equal(['c1', 'c1']);
      expect((await state()).running).to.deep.equal([]);
    });

    it('are given up when their process ended each time it began', async () => {
      await put(define('a', { every: '1h' }));
      const { id } = await schedules.run(one(), { cid: 'c1' });
      const before = { id, kind: 'manual', cid: 'c1', startedAt: '', token: 't', tries: 5 };
      await redis.hset('{hence}:schedule-running:a', id, JSON.stringify(before));
      runner();
      const [failed] = await until(async () => {
        const noted = await history();
        return noted.length === 1 && noted;
      });
      expect(runs).to.deep.equal([]);
      expect(failed).to.include({ result: 'failed', again: true });
      expect(failed?.error).to.contain('It was begun 5 times, and each time its process ended');
    });

    it('are noted by who has them: a process that lost its run to another notes nothing', async () => {
      await put(define('a', { every: '1h' }));
      let end = () => {};
      const running = new Promise<void>((resolve) => {
        end = resolve;
      });
      runner({ run: () => running.then(() => ({})) });
      const { id } = await schedules.run(one(), { cid: 'c1' });
      await until(() => runs.length === 1);
      const other = { id, kind: 'manual', cid: 'c1', startedAt: '', token: 'other', tries: 2 };
      await redis.hset('{hence}:schedule-running:a', id, JSON.stringify(other));
      end();
      await until(() => log.lines.some(({ message }) => message.includes('taken over')));
      expect(await history()).to.deep.equal([]);
    });

    it('finish what runs when they are stopped', async () => {
      await put(define('a', { every: '1h' }));
      let ended = false;
      const stopping = runner({
        run: async () => {
          await until(() => ended);
          return {};
        },
      });
      await schedules.run(one(), { cid: 'c1' });
      await until(() => runs.length === 1);
      const stopped = stopping.stop(5_000);
      ended = true;
      await stopped;
      expect((await history())[0]).to.include({ result: 'ok', cid: 'c1' });
    });

    it('tick on after Redis was killed and came back', async () => {
      const durable = await startRedis({
        args: ['--appendonly', 'yes', '--appendfsync', 'always'],
      });
      const [command, other, worker] = (['command', 'command', 'worker'] as const).map((role) => {
        const made = connectRedis({ path: durable.path }, role, () => {});
        connections.push(made);
        return made;
      });
      if (!command || !other || !worker) throw new Error('three were made');
      const definition = define('a', { every: '1s' });
      const own = new Schedules({ redis: command, definitions: () => [definition], log });
      await own.reconcile([definition]);
      runner({ redis: worker, commands: other });
      await until(() => runs.length >= 1);
      await durable.restart();
      const before = runs.length;
      await until(() => runs.length >= before + 2, 15_000);
      await Promise.all(runners.map((each) => each.stop(500)));
      await own.close();
      await durable.stop();
    });
  });

  describe('by hand', () => {
    it('run at once, also when disabled, and answer with what the service answered', async () => {
      await put(define('a', { every: '1h', enabled: false, input: { n: 1 } }));
      runner({ run: async ({ input }) => ({ payload: { got: input } }) });
      const reply = await schedules.run(one(), { cid: 'c1', waitMs: 3_000 });
      expect(reply).to.deep.include({
        cid: 'c1',
        schedule: 'a',
        service: 'a.b',
        result: 'ok',
        version: 7,
        payload: { got: { n: 1 } },
      });
      expect((await history())[0]).to.include({
        kind: 'manual',
        result: 'ok',
        cid: 'c1',
        id: reply.id,
      });
      expect((await history())[0]).to.not.have.any.keys('payload', 'dueAt');
    });

    it('need no wait, and are told of in the history', async () => {
      await put(define('a', { every: '1h' }));
      const reply = await schedules.run(one(), { cid: 'c1' });
      expect(Object.keys(reply)).to.have.members(['id', 'cid', 'schedule', 'service']);
      runner();
      await until(async () => (await history()).length === 1);
    });

    it('work right after a schedule was made, before its ticks are in Redis', async () => {
      runner();
      const reply = await schedules.run(define('new', { every: '1h' }), {
        cid: 'c1',
        waitMs: 3_000,
      });
      expect(reply.result).to.equal('ok');
    });

    it('say so when the run does not end while one waits, or no worker runs', async () => {
      await put(define('a', { every: '1h' }));
      const late = await rejection(schedules.run(one(), { cid: 'c1', waitMs: 100 }));
      expect(late).to.include({ code: 'timeout' });
      expect(late.message).to.contain('did not end in 100 ms');
    });

    it('leave out an answer that is too long or not JSON', async () => {
      await put(define('a', { every: '1h' }));
      const cyclic: Record<string, unknown> = {};
      cyclic['self'] = cyclic;
      const answers = ['x'.repeat(65_534), 'x'.repeat(65_535), cyclic, 12n];
      runner({ run: async () => ({ payload: answers[runs.length - 1] }) });
      const lengths: number[] = [];
      for (const _ of answers) {
        const { result, payload } = await schedules.run(one(), { cid: 'c1', waitMs: 3_000 });
        expect(result).to.equal('ok');
        lengths.push(typeof payload === 'string' ? payload.length : 0);
      }
      expect(lengths).to.deep.equal([65_534, 0, 0, 0]);
    });

    it('keep the last 50 in the history', async () => {
      await put(define('a', { every: '1h', overlap: true }));
      runner();
      for (let each = 0; each < 52; each++) await schedules.run(one(), { cid: `c${each}` });
      await until(
        async () => (await history()).length === 50 && (await state()).running.length === 0,
      );
      await until(() => runs.length === 52);
      expect(await redis.llen('{hence}:schedule-runs:a')).to.equal(50);
    });

    it('are forgotten with a schedule that is deleted while it runs', async () => {
      await put(define('a', { every: '1h' }));
      let end = () => {};
      const running = new Promise<void>((resolve) => {
        end = resolve;
      });
      runner({ run: () => running.then(() => ({})) });
      await schedules.run(one(), { cid: 'c1' });
      await until(() => runs.length === 1);
      await put();
      end();
      await until(async () => (await redis.keys('*schedule*')).filter(isOfSchedule).length === 0);
    });
  });
});

/** The jobs that wait for their time. */
function waiting(redis: Redis): Promise<string[]> {
  return redis.zrange('{hence}:schedules:delayed', '0', '-1');
}

/** Not of the queue as such. */
function isOfSchedule(key: string): boolean {
  return !/:schedules:(?:meta|id|events|stalled-check|stalled|marker|pc)$/.test(key);
}

/** Every key that names it (all of them without a name), as bytes. */
async function snapshot(redis: Redis, name = ''): Promise<Readonly<Record<string, string>>> {
  const keys = (await redis.keys(`*${name}*`)).filter(isOfSchedule).sort();
  const bytes = await Promise.all(keys.map((key) => redis.dumpBuffer(key)));
  return Object.fromEntries(keys.map((key, at) => [key, String(bytes[at]?.toString('hex'))]));
}

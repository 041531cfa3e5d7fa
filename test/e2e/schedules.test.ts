import { join } from 'node:path';
import { expect } from 'chai';
import { Redis } from 'ioredis';
import type { ManualRun, ScheduleView } from '../../runtime/admin/schedule-api.ts';
import { type System, startSystem } from '../support/system.ts';
import { until } from '../support/until.ts';

const services = {
  'tick.ts': `import { Service } from 'hence';
export class Tock extends Service {
  async handle() {
    const { name } = this.request.input as { name: string };
    await this.kvdb.conn.rpush('ticks of ' + name, JSON.stringify({ pid: process.pid, cid: this.cid }));
    return { ticked: name };
  }
}
export class Fail extends Service { handle() { throw new Error('the clock is broken'); } }
`,
};

const yaml = `schedules:
  clock: { service: tick.tock, every: 1s, input: { name: clock } }
`;

interface Tick {
  readonly pid: number;
  readonly cid: string;
}

describe('Schedules of a running system', () => {
  let system: System;
  let redis: Redis;

  before(async () => {
    system = await startSystem({ services, yaml, args: ['--workers', '2'] });
    redis = new Redis({ path: join(system.dir, '.hence', 'redis', 'redis.sock') });
  });
  after(async () => {
    redis?.disconnect();
    await system?.stop();
  });

  const ticks = async (name: string) =>
    (await redis.lrange(`ticks of ${name}`, 0, -1)).map((text) => JSON.parse(text) as Tick);
  const create = async (name: string, ...more: readonly string[]) => {
    const { code, stderr } = await system.cli('schedule', 'create', name, ...more);
    expect(code, stderr).to.equal(0);
  };
  const show = async (name: string) => {
    const { stdout } = await system.cli('schedule', 'show', name, '-o', 'json');
    return JSON.parse(stdout) as ScheduleView;
  };
  const run = async (name: string) => {
    const { code, stdout } = await system.cli('schedule', 'run', name, '--wait', '-o', 'json');
    return { code, ...(JSON.parse(stdout) as ManualRun) };
  };

  it('run once for each tick, whichever worker takes it, and have a history', async () => {
    await create(
      ...(['beat', '--service', 'tick.tock', '--cron', '* * * * * *'] as const),
      ...(['-d', '{"name":"beat"}'] as const),
    );
    await until(async () => (await ticks('beat')).length >= 4);
    const view = await show('beat');
    const history = view.history ?? [];
    expect(history.length).to.be.at.least(4);
    expect(view.runs).to.equal(history.length);
    expect(view.upcoming).to.have.length(5);
    expect(new Set(history.map(({ result, kind }) => `${kind} ${result}`))).to.deep.equal(
      new Set(['tick ok']),
    );
    // Whole seconds, one after the other, none of them twice.
    const due = history.map(({ dueAt = '' }) => Date.parse(dueAt) / 1_000);
    expect(due).to.deep.equal(due.map((_, n) => (due[0] ?? 0) - n));

    const seen = await ticks('beat');
    expect(new Set(seen.map(({ cid }) => cid)).size).to.equal(seen.length);
    for (const { cid } of history) expect(seen.map((tick) => tick.cid)).to.include(cid);
    const workers = await system.workerPids('serving');
    await until(async () => {
      const pids = new Set(
        [...(await ticks('beat')), ...(await ticks('clock'))].map(({ pid }) => pid),
      );
      return workers.every((pid) => pids.has(pid));
    });
  });

  it('run by hand, and say how that ended', async () => {
    await create(
      'yearly',
      '--service',
      'tick.tock',
      '--cron',
      '0 0 1 1 *',
      '-d',
      '{"name":"year"}',
    );
    const good = await run('yearly');
    expect(good).to.include({ code: 0, schedule: 'yearly', service: 'tick.tock', result: 'ok' });
    expect((await ticks('year')).map(({ cid }) => cid)).to.deep.equal([good.cid]);

    await create('broken', '--service', 'tick.fail', '--cron', '0 0 1 1 *');
    const bad = await run('broken');
    expect(bad).to.include({ code: 1, result: 'failed' });
    const [last] = (await show('broken')).history ?? [];
    expect(last).to.include({ kind: 'manual', result: 'failed', cid: bad.cid });
    expect(last?.error).to.be.a('string').that.is.not.empty;
  });

  it('end when they are deleted, and leave nothing behind', async () => {
    const deleted = await system.cli('schedule', 'delete', 'beat', '--yes');
    expect(deleted.code, deleted.stderr).to.equal(0);
    /** The other schedule tells that time goes on. */
    const seconds = async (count: number) => {
      const from = (await ticks('clock')).length;
      await until(async () => (await ticks('clock')).length >= from + count);
    };
    await seconds(1);
    const left = (await ticks('beat')).length;
    await seconds(2);
    expect(await ticks('beat')).to.have.length(left);
    expect((await system.cli('schedule', 'show', 'beat')).code).to.equal(3);
    const keys = (await redis.keys('*beat*')).filter((key) => key !== 'ticks of beat');
    expect(keys).to.deep.equal([]);
  });
});

import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import type { Redis } from 'ioredis';
import { AdminServer } from '../../channels/admin/admin-server.ts';
import { Admin, type AdminPorts } from '../../runtime/admin/admin.ts';
import type { ScheduleView } from '../../runtime/admin/schedule-api.ts';
import { ScheduleDesk } from '../../runtime/admin/schedule-desk.ts';
import type { DefinitionType } from '../../runtime/config/definition.ts';
import { DefinitionStore } from '../../runtime/config/store.ts';
import { Fault } from '../../runtime/core/fault.ts';
import { connectRedis, type RedisRole } from '../../runtime/redis/connection.ts';
import { scheduleType } from '../../runtime/schedule/schedule-definition.ts';
import { ScheduleRunner } from '../../runtime/schedule/schedule-runner.ts';
import { Schedules } from '../../runtime/schedule/schedules.ts';
import { collectingLog } from '../support/collecting-log.ts';
import { startRedis, type TestRedis } from '../support/redis.ts';
import { until } from '../support/until.ts';
import { type Outcome, runHence } from './support/hence.ts';

describe('Schedules by the hence command', () => {
  const type = scheduleType();
  let redis: TestRedis;
  let connections: Redis[];
  let store: DefinitionStore;
  let schedules: Schedules;
  let runner: ScheduleRunner;
  let server: AdminServer;
  let cwd: string;
  let fails = false;

  before(async () => {
    redis = await startRedis();
    connections = [];
    const connect = (role: RedisRole) => {
      const made = connectRedis({ path: redis.path }, role, () => {});
      connections.push(made);
      return made;
    };
    const log = collectingLog();
    cwd = await mkdtemp(join(tmpdir(), 'hence-schedule-'));
    store = new DefinitionStore({
      redis: connect('command'),
      subscriber: () => connect('subscriber'),
      types: [type] as readonly unknown[] as readonly DefinitionType[],
      log,
    });
    await store.start();
    schedules = new Schedules({
      redis: connect('command'),
      definitions: () => store.list(type),
      log,
    });
    schedules.start();
    store.onChange(() => void schedules.refresh());
    runner = new ScheduleRunner({
      redis: connect('worker'),
      commands: connect('command'),
      run: async ({ input }) => {
        if (fails) throw new Fault('unavailable', 'The CRM is away');
        return { payload: { got: input } };
      },
      versionOf: () => 4,
      log,
    });
    runner.start();
    // The other parts are not asked for anything here.
    const ports: Partial<AdminPorts> = {
      definitions: store,
      schedules: new ScheduleDesk({ definitions: store, schedules: async () => schedules }),
    };
    server = new AdminServer({
      admin: new Admin(ports as AdminPorts),
      dataDir: join(cwd, '.hence'),
      log,
    });
    await server.start({ port: 0 });
  });

  after(async () => {
    await server.stop();
    await runner.stop(500);
    await schedules.close();
    await store.stop();
    for (const each of connections) each.disconnect();
    await redis.stop();
    await rm(cwd, { recursive: true, force: true });
  });

  afterEach(async () => {
    fails = false;
    for (const { name } of store.list(type)) await store.delete('schedule', name);
  });

  const hence = (...words: readonly string[]): Promise<Outcome> =>
    runHence(['schedule', ...words], { cwd });

  it('are made with what the flags say, and tell when they run', async () => {
    await writeFile(join(cwd, 'input.json'), '{"full": true}');
    const made = await hence(
      ...['create', 'report', '--service', 'report.send', '--cron', '0 9 * * mon-fri'],
      ...['--tz', 'Europe/Berlin', '--missed', 'skip', '--max-runs', '10', '--overlap'],
      ...['--start', '2026-03-01T09:00:00Z', '--timeout', '10m', '-d', '@input.json'],
    );
    expect(made.stdout).to.match(/^schedule report created, revision \d+\n$/);
    expect(made.stderr).to.match(/^runs in \d+ \w+\n$/);
    expect(store.get(type, 'report')?.spec).to.deep.equal({
      service: 'report.send',
      cron: '0 9 * * mon-fri',
      timezone: 'Europe/Berlin',
      missed: 'skip',
      maxRuns: 10,
      overlap: true,
      start: '2026-03-01T09:00:00Z',
      timeout: '10m',
      input: { full: true },
      enabled: true,
    });
  });

  it('are refused with exit code 2 and what is wrong', async () => {
    const neither = await hence('create', 'x', '--service', 'a.b');
    expect([neither.code, neither.stderr]).to.deep.equal([
      2,
      'error  schedule create needs --cron <cron> (or --every <time>)\nfix:   hence schedule create x --cron <cron> (or --every <time>)\n',
    ]);
    const field = await hence('create', 'x', '--service', 'a.b', '--cron', '0 25 * * *');
    expect(field.code).to.equal(2);
    expect(field.stderr).to.contain('hour "25"');
    const both = await hence(
      'create',
      'x',
      '--service',
      'a.b',
      '--cron',
      '* * * * *',
      '--every',
      '1m',
    );
    expect(both.code).to.equal(2);
    expect(both.stderr).to.contain('needs "cron" or "every", and not both');
    const all = await hence('create', 'x', '--service', 'a.b', '--every', '1m', '--missed', 'all');
    expect([all.code, all.stderr.includes('once, skip')]).to.deep.equal([2, true]);
    expect((await hence('show', 'x')).code).to.equal(3);
    expect((await hence('run', 'x')).stderr).to.contain('fix:   hence schedule list');
  });

  it('change from a cron to an interval and back with one flag', async () => {
    await hence('create', 'a', '--service', 'a.b', '--cron', '0 9 * * *', '--tz', 'Asia/Tokyo');
    expect((await hence('edit', 'a', '--every', '15m')).code).to.equal(0);
    expect(store.get(type, 'a')?.spec)
      .to.include({ every: '15m' })
      .and.not.have.any.keys('cron', 'timezone');
    expect((await hence('edit', 'a', '--cron', '5 * * * *', '-d', '[1]')).code).to.equal(0);
    expect(store.get(type, 'a')?.spec).to.deep.include({ cron: '5 * * * *', input: [1] });
    expect(store.get(type, 'a')?.spec).to.not.have.any.keys('every');
  });

  it('run now, and print what the service answered when one waits', async () => {
    await hence('create', 'a', '--service', 'a.b', '--every', '1d', '-d', '{"n": 1}', '--disabled');
    const started = await hence('run', 'a');
    expect(started.stdout).to.match(/^schedule a runs, cid [0-9a-f-]+\n$/);
    await until(async () => (await schedules.detail(definition('a'))).history.length === 1);
    const ended = await hence('run', 'a', '--wait');
    expect(ended.code).to.equal(0);
    expect(ended.stdout).to.equal('schedule a ok\n{\n  "got": {\n    "n": 1\n  }\n}\n');
    expect(ended.stderr).to.match(/^cid [0-9a-f-]+ · [\d.]+ ms\n$/);
    fails = true;
    const failed = await hence('run', 'a', '--wait');
    expect(failed.code).to.equal(1);
    expect(failed.stdout).to.equal('schedule a FAILED: unavailable: The CRM is away\n');
    const json = await hence('run', 'a', '--wait', '-o', 'json');
    expect(JSON.parse(json.stdout)).to.deep.include({
      schedule: 'a',
      result: 'failed',
      version: 4,
    });
  });

  it('are listed with their next and last run, and shown with five runs ahead and the history', async () => {
    await hence('create', 'b', '--service', 'c.d', '--cron', '0 0 29 2 *', '--disabled');
    await hence('create', 'a', '--service', 'a.b', '--every', '1d');
    await hence('run', 'a', '--wait');
    const { stdout } = await hence('list');
    expect(stdout).to.match(/^NAME +WHEN +SERVICE +STATE +NEXT +LAST$/m);
    expect(stdout).to.match(/^a +every 1d +a\.b +enabled +in \d+ \w+ +ok (?:just now|\d+ s ago)$/m);
    expect(stdout).to.match(/^b +0 0 29 2 \* +c\.d +disabled +- +-$/m);
    const shown = await hence('show', 'a');
    expect(shown.stdout).to.match(/^every +1d$/m);
    expect(
      shown.stdout.match(/^ {2}\d{4}-\d\d-\d\dT00:00:00\.000Z {2}in \d+ \w+$/gm),
    ).to.have.length(5);
    expect(shown.stdout).to.match(
      /^ {2}\S+Z {2}ok {2}[\d.]+ ms {2}v4 {2}by hand {2}cid [0-9a-f-]+$/m,
    );
    const view = JSON.parse((await hence('show', 'a', '-o', 'json')).stdout) as ScheduleView;
    expect(view.upcoming).to.have.length(5);
    expect(view.next).to.equal(view.upcoming?.[0]);
    expect(view.history?.[0]).to.deep.include({ kind: 'manual', result: 'ok', version: 4 });
    expect((await hence('list', '-o', 'name')).stdout).to.equal('a\nb\n');
  });

  it('are disabled, enabled and deleted', async () => {
    await hence('create', 'a', '--service', 'a.b', '--every', '1d');
    await hence('create', 'b', '--service', 'a.b', '--every', '1d');
    const off = await hence('disable', 'a', 'b');
    expect(off.stdout).to.match(
      /^schedule a disabled, revision \d+\nschedule b disabled, revision \d+\n$/,
    );
    expect(definition('a').spec.enabled).to.equal(false);
    expect((await hence('enable', 'a')).code).to.equal(0);
    expect(definition('a').spec.enabled).to.equal(true);
    expect((await hence('delete', 'a', '--yes')).stdout).to.equal('schedule a deleted\n');
    expect((await hence('enable', 'a')).code).to.equal(3);
  });

  function definition(name: string) {
    const found = store.get(type, name);
    if (found) return found;
    throw new Error(`${name} is gone`);
  }
});

import { expect } from 'chai';
import type { DefinitionType } from '../../runtime/config/definition.ts';
import { type ScheduleSpec, scheduleType } from '../../runtime/schedule/schedule-definition.ts';

const type: DefinitionType<ScheduleSpec> = scheduleType();

const check = (spec: Readonly<Record<string, unknown>>) => type.schema.safeParse(spec);
const problems = (spec: Readonly<Record<string, unknown>>) =>
  check(spec).error?.issues.map(({ path, message }) => `${path.join('.')}: ${message}`) ?? [];

describe('The definition of a schedule', () => {
  it('needs a service and a cron or an interval, and fills in the rest', () => {
    expect(type.section).to.equal('schedules');
    expect(check({ service: 'report.daily', cron: '0 9 * * *' }).data).to.deep.equal({
      service: 'report.daily',
      cron: '0 9 * * *',
      missed: 'once',
      overlap: false,
      timeout: '1h',
      enabled: true,
    });
  });

  it('takes every key that it has', () => {
    const spec = {
      service: 'a.b',
      cron: '0 9 * * *',
      timezone: 'Europe/Berlin',
      start: '2026-03-01T09:00:00+01:00',
      input: { list: [1, 'two', null, { three: true }] },
      missed: 'skip',
      overlap: true,
      maxRuns: 3,
      timeout: '24h',
      enabled: false,
    };
    expect(check(spec).data).to.deep.equal(spec);
  });

  it('takes any JSON as input, a null too', () => {
    for (const input of [null, 0, '', [], {}, 'text', 12.5, false]) {
      const spec = check({ service: 'a.b', every: '1m', input });
      expect(spec.data?.input, JSON.stringify(input)).to.deep.equal(input);
    }
  });

  it('refuses both, neither, and a time zone where there is none', () => {
    const both = problems({ service: 'a.b', every: '1m', cron: '* * * * *' });
    expect(both).to.deep.equal([': needs "cron" or "every", and not both']);
    expect(problems({ service: 'a.b' })).to.deep.equal(both);
    expect(problems({ service: 'a.b', every: '1m', timezone: 'UTC' })).to.deep.equal([
      'timezone: belongs to "cron": an interval has no time zone',
    ]);
  });

  it('names the key that is wrong', () => {
    const wrong: readonly (readonly [string, unknown, string])[] = [
      ['service', 'a b', 'service: 1-128 letters'],
      ['every', '999ms', 'every: An interval is at least 1s'],
      ['start', 'tomorrow', 'start: must be a time such as 2026-03-01T09:00:00Z'],
      ['start', '2026-03-01T09:00:00', 'start: must be a time'],
      ['missed', 'all', 'missed: must be "skip" or "once" ("all" is not offered)'],
      ['maxRuns', 0, 'maxRuns: '],
      ['maxRuns', 1.5, 'maxRuns: '],
      ['timeout', '25h', 'timeout: A timeout of a schedule is at most 24h'],
      ['input', Number.NaN, 'input: must be JSON'],
      ['retry', 3, ': Unrecognized key'],
    ];
    for (const [key, value, expected] of wrong) {
      const found = problems({ service: 'a.b', every: '1m', [key]: value });
      expect(found, key).to.have.length(1);
      expect(found[0], key).to.contain(expected);
    }
    const cron = problems({ service: 'a.b', cron: '0 25 * * *' });
    expect(cron[0]).to.contain('cron: Cron, hour "25"');
  });
});

import { expect } from 'chai';
import { Fault } from '../../runtime/core/fault.ts';
import {
  checkCron,
  checkTimezone,
  intervalOf,
  nextTicks,
  type Timing,
} from '../../runtime/schedule/timing.ts';

const ticks = (timing: Timing, after: string, count: number) =>
  nextTicks(timing, Date.parse(after), count).map((ms) => new Date(ms).toISOString().slice(0, 16));

const refusal = (check: () => unknown): string => {
  try {
    check();
  } catch (error) {
    if (Fault.is(error)) return `${error.code} ${error.message}`;
    throw error;
  }
  return 'taken';
};

describe('The ticks of a schedule', () => {
  it('are those of its cron, in UTC, each later than the time asked from', () => {
    expect(ticks({ cron: '*/20 9 * * *' }, '2026-05-01T09:00:00Z', 4)).to.deep.equal([
      '2026-05-01T09:20',
      '2026-05-01T09:40',
      '2026-05-02T09:00',
      '2026-05-02T09:20',
    ]);
    expect(
      nextTicks({ cron: '*/15 * * * * *' }, Date.parse('2026-05-01T00:00:00Z'), 2),
    ).to.deep.equal([Date.parse('2026-05-01T00:00:15Z'), Date.parse('2026-05-01T00:00:30Z')]);
  });

  it('follow the clocks of a time zone through summer time', () => {
    const nine = { cron: '0 9 * * *', timezone: 'Europe/Berlin' };
    expect(ticks(nine, '2026-03-28T00:00:00Z', 2)).to.deep.equal([
      '2026-03-28T08:00',
      '2026-03-29T07:00',
    ]);
    expect(ticks(nine, '2026-10-24T00:00:00Z', 2)).to.deep.equal([
      '2026-10-24T07:00',
      '2026-10-25T08:00',
    ]);
  });

  it('come an hour later on the day whose hour is left out, and once where an hour comes twice', () => {
    const night = { cron: '30 2 * * *', timezone: 'Europe/Berlin' };
    expect(ticks(night, '2026-03-28T12:00:00Z', 2)).to.deep.equal([
      '2026-03-29T01:30',
      '2026-03-30T00:30',
    ]);
    expect(ticks(night, '2026-10-24T12:00:00Z', 2)).to.deep.equal([
      '2026-10-25T00:30',
      '2026-10-26T01:30',
    ]);
    const newYork = { cron: '30 1 * * *', timezone: 'America/New_York' };
    expect(ticks(newYork, '2026-10-31T12:00:00Z', 2)).to.deep.equal([
      '2026-11-01T05:30',
      '2026-11-02T06:30',
    ]);
  });

  it('that are hourly come each hour that passes, in either night', () => {
    const hourly = { cron: '0 * * * *', timezone: 'Europe/Berlin' };
    for (const from of ['2026-03-29T00:30:00Z', '2026-10-24T23:30:00Z']) {
      const first = Math.ceil(Date.parse(from) / 3_600_000) * 3_600_000;
      expect(nextTicks(hourly, Date.parse(from), 4), from).to.deep.equal(
        [0, 1, 2, 3].map((hours) => first + hours * 3_600_000),
      );
    }
  });

  it('leave out months without the day, find the last day, and know leap years', () => {
    expect(ticks({ cron: '0 0 31 * *' }, '2026-01-31T12:00:00Z', 3)).to.deep.equal([
      '2026-03-31T00:00',
      '2026-05-31T00:00',
      '2026-07-31T00:00',
    ]);
    expect(ticks({ cron: '0 0 L * *' }, '2028-01-31T12:00:00Z', 2)).to.deep.equal([
      '2028-02-29T00:00',
      '2028-03-31T00:00',
    ]);
    expect(ticks({ cron: '0 0 29 2 *' }, '2026-01-01T00:00:00Z', 2)).to.deep.equal([
      '2028-02-29T00:00',
      '2032-02-29T00:00',
    ]);
  });

  it('come on the day of the month and on the weekday where a cron names both', () => {
    expect(ticks({ cron: '0 0 13 * fri' }, '2026-01-01T00:00:00Z', 4)).to.deep.equal([
      '2026-01-02T00:00',
      '2026-01-09T00:00',
      '2026-01-13T00:00',
      '2026-01-16T00:00',
    ]);
  });

  it('of an interval are its multiples since 1970, or since its start', () => {
    expect(ticks({ every: '15m' }, '2026-05-01T09:07:00Z', 2)).to.deep.equal([
      '2026-05-01T09:15',
      '2026-05-01T09:30',
    ]);
    expect(ticks({ every: '15m' }, '2026-05-01T09:15:00Z', 1)).to.deep.equal(['2026-05-01T09:30']);
    const started = { every: '2h', start: '2026-05-01T09:07:00Z' };
    expect(ticks(started, '2026-05-01T12:00:00Z', 2)).to.deep.equal([
      '2026-05-01T13:07',
      '2026-05-01T15:07',
    ]);
  });

  it('begin at the start, that moment included', () => {
    for (const timing of [{ cron: '0 * * * *' }, { every: '1h' }]) {
      const start = '2027-01-01T10:00:00+01:00';
      expect(ticks({ ...timing, start }, '2026-05-01T00:00:00Z', 2)).to.deep.equal([
        '2027-01-01T09:00',
        '2027-01-01T10:00',
      ]);
    }
  });
});

describe('A cron', () => {
  it('has 5 or 6 fields', () => {
    for (const cron of [
      '0 9 * * mon-fri',
      '*/5 * * * * *',
      '0 0 1,15 jan *',
      ' 0 0 L * ? ',
      '0 0 * * 5#2',
    ]) {
      expect(
        refusal(() => checkCron(cron)),
        cron,
      ).to.equal('taken');
    }
    for (const cron of ['', '* * * *', '* * * * * * *', '@daily']) {
      expect(
        refusal(() => checkCron(cron)),
        cron,
      ).to.contain('bad-request A cron has 5 fields');
    }
  });

  it('is refused with the field that is wrong', () => {
    const wrong: Readonly<Record<string, string>> = {
      '60 * * * *': 'minute "60"',
      '60 * * * * *': 'second "60"',
      '0 24 * * *': 'hour "24"',
      '0 0 32 * *': 'day of month "32"',
      '0 0 0 * *': 'day of month "0"',
      '0 0 * 13 *': 'month "13"',
      '0 0 * foo *': 'month "foo"',
      '0 0 * * 8': 'day of week "8"',
      '5-1 * * * *': 'minute "5-1"',
      '*/0 * * * *': 'minute "*/0"',
      '1,,2 * * * *': 'minute "1,,2"',
      'H * * * *': 'minute "H"',
      '0 0 30 2 *': 'never comes',
      '0 0 31 2,4 *': 'never comes',
    };
    for (const [cron, expected] of Object.entries(wrong)) {
      expect(
        refusal(() => checkCron(cron)),
        cron,
      )
        .to.match(/^bad-request /)
        .and.contain(expected);
    }
  });
});

describe('A time zone', () => {
  it('is a name, never an offset', () => {
    for (const zone of ['Europe/Berlin', 'UTC', 'america/new_york', 'Asia/Kolkata']) {
      expect(
        refusal(() => checkTimezone(zone)),
        zone,
      ).to.equal('taken');
    }
    for (const zone of ['Mars/Phobos', '+02:00', '', ' UTC', 'CEST+1']) {
      expect(
        refusal(() => checkTimezone(zone)),
        zone,
      ).to.contain(`Not a time zone: "${zone}"`);
    }
  });
});

describe('An interval', () => {
  it('is whole milliseconds, from one second to 366 days', () => {
    expect([intervalOf('1s'), intervalOf(1_000), intervalOf('366d')]).to.deep.equal([
      1_000, 1_000, 31_622_400_000,
    ]);
    expect(refusal(() => intervalOf(999))).to.contain('at least 1s, not 999');
    expect(refusal(() => intervalOf('367d'))).to.contain('at most 366d');
    expect(refusal(() => intervalOf(1_000.5))).to.contain('whole milliseconds');
    expect(refusal(() => intervalOf('soon'))).to.contain('Not a duration');
  });
});

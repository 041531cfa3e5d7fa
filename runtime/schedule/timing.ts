import { createRequire } from 'node:module';
import { parseDuration } from '../core/duration.ts';
import { Fault } from '../core/fault.ts';

/** When a schedule ticks: by `cron` or by `every`. */
export interface Timing {
  /** 5 fields, or 6 with seconds first. */
  readonly cron?: string | undefined;
  /** From 1 s; ticks are whole multiples of it, counted from `start` or else from 1970 in UTC. */
  readonly every?: string | number | undefined;
  /** Of `cron`; UTC when absent. */
  readonly timezone?: string | undefined;
  /** ISO 8601: no tick comes earlier. */
  readonly start?: string | undefined;
}

type Parser = typeof import('cron-parser');

const shortestMs = 1_000;
const longestMs = 366 * 86_400_000;
const fieldNames = ['second', 'minute', 'hour', 'day of month', 'month', 'day of week'] as const;
/** Whether a cron ever comes must not depend on when it is asked. */
const anyDate = new Date('2024-01-01T00:00:00Z');

/** The first `count` ticks later than `after` (ms since 1970); fewer when no more come. */
export function nextTicks(timing: Timing, after: number, count: number): readonly number[] {
  if (timing.cron === undefined) return multiples(timing, after, count);
  // The parser's own answers are later than what it is given: a tick at `start` itself counts.
  const from = Math.max(after, startOf(timing) - 1);
  const expression = parse(timing.cron, timing.timezone, new Date(from));
  return Array.from({ length: count }, () => expression.next().getTime());
}

/** The interval in ms. @throws Fault `bad-request` unless it is whole ms from 1 s to 366 days. */
export function intervalOf(every: string | number): number {
  const ms = parseDuration(every);
  if (ms < shortestMs) throw new Fault('bad-request', `An interval is at least 1s, not ${every}`);
  if (ms > longestMs) throw new Fault('bad-request', `An interval is at most 366d, not ${every}`);
  if (Number.isInteger(ms)) return ms;
  throw new Fault('bad-request', `An interval is whole milliseconds, not ${every}`);
}

/** The ms since 1970 of `start`; 0 without one. */
export function startOf({ start }: Pick<Timing, 'start'>): number {
  return start === undefined ? 0 : Date.parse(start);
}

/** @throws Fault `bad-request` naming the field that is wrong. */
export function checkCron(cron: string): void {
  const fields = cron.trim().split(/\s+/);
  if (fields.length !== 5 && fields.length !== 6) {
    throw new Fault(
      'bad-request',
      `A cron has 5 fields (minute hour day month weekday), or 6 with seconds first, not ${fields[0] === '' ? 0 : fields.length}: "${cron}"`,
    );
  }
  const names = fieldNames.slice(6 - fields.length);
  for (const [at, field] of fields.entries()) checkField(field, names[at] ?? '', at, fields.length);
  try {
    parse(cron, undefined, anyDate).next();
  } catch (error) {
    throw new Fault('bad-request', `The cron "${cron}" never comes`, { cause: error });
  }
}

/** @throws Fault `bad-request` unless it is the name of a time zone, such as Europe/Berlin. */
export function checkTimezone(timezone: string): void {
  try {
    // Newer runtimes also take offsets, which know no summer time.
    if (!/^[A-Za-z]/.test(timezone)) throw new RangeError('an offset');
    Intl.DateTimeFormat('en', { timeZone: timezone });
  } catch (error) {
    throw new Fault(
      'bad-request',
      `Not a time zone: "${timezone}" (write a name such as Europe/Berlin or UTC)`,
      { cause: error },
    );
  }
}

function multiples(timing: Timing, after: number, count: number): readonly number[] {
  const every = intervalOf(timing.every ?? '');
  const anchor = startOf(timing);
  const past = Math.floor((after - anchor) / every);
  const first = after < anchor ? anchor : anchor + (past + 1) * every;
  return Array.from({ length: count }, (_, at) => first + at * every);
}

function checkField(field: string, name: string, at: number, length: number): void {
  // The parser would draw a number anew each time it reads the cron.
  if (/H/.test(field)) {
    throw new Fault('bad-request', `Cron, ${name} "${field}": H is not taken, write a number`);
  }
  const alone = Array.from({ length }, (_, place) => (place === at ? field : '*'));
  try {
    parser().CronExpressionParser.parse(alone.join(' '), { tz: 'UTC', currentDate: anyDate });
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new Fault('bad-request', `Cron, ${name} "${field}": ${reason}`, { cause: error });
  }
}

function parse(cron: string, timezone: string | undefined, currentDate: Date) {
  return parser().CronExpressionParser.parse(cron, { tz: timezone ?? 'UTC', currentDate });
}

let loaded: Parser | undefined;

/** BullMQ's own. It takes 20 ms to load: only where a cron is read. */
function parser(): Parser {
  loaded ??= createRequire(import.meta.url)('cron-parser') as Parser;
  return loaded;
}

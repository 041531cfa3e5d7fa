import { z } from 'zod';
import { parseDuration } from '../core/duration.ts';
import { Fault } from '../core/fault.ts';
import { isName, nameRule } from '../core/name.ts';
import { checkCron, checkTimezone, intervalOf, type Timing } from './timing.ts';

/** Calls a service again and again. */
export interface ScheduleSpec extends Timing {
  readonly service: string;
  /** What the service gets, as JSON. */
  readonly input?: unknown;
  /** Ticks that came while no worker ran: `once` runs late, one time for all of them; `skip` does not. */
  readonly missed: 'skip' | 'once';
  /** Whether a tick runs while an earlier run goes on. */
  readonly overlap: boolean;
  /** Ticks that run before it is finished; runs by hand do not count. */
  readonly maxRuns?: number | undefined;
  /** A duration: `10m`. */
  readonly timeout: string | number;
  readonly enabled: boolean;
}

const maxTimeoutMs = 86_400_000;

const schema: z.ZodType<ScheduleSpec> = z
  .strictObject({
    service: z.string().refine(isName, { error: nameRule }),
    cron: z.string().check(refusing(checkCron)).optional(),
    every: z.union([z.string(), z.number()]).check(refusing(intervalOf)).optional(),
    timezone: z.string().check(refusing(checkTimezone)).optional(),
    start: z.iso
      .datetime({ offset: true, error: 'must be a time such as 2026-03-01T09:00:00Z' })
      .optional(),
    input: z.unknown().refine(isJson, { error: 'must be JSON' }).optional(),
    // "all" would be a run for each missed tick: nothing keeps them apart once they are late.
    missed: z
      .enum(['skip', 'once'], { error: 'must be "skip" or "once" ("all" is not offered)' })
      .default('once'),
    overlap: z.boolean().default(false),
    maxRuns: z.number().int().min(1).max(1_000_000_000).optional(),
    timeout: z.union([z.string(), z.number()]).check(refusing(runTimeoutOf)).default('1h'),
    enabled: z.boolean().default(true),
  })
  .refine(({ cron, every }) => (cron === undefined) !== (every === undefined), {
    error: 'needs "cron" or "every", and not both',
  })
  .refine(({ every, timezone }) => every === undefined || timezone === undefined, {
    error: 'belongs to "cron": an interval has no time zone',
    path: ['timezone'],
  });

/** Schedules, as the store of definitions wants its types described. */
export function scheduleType() {
  return { type: 'schedule', section: 'schedules', schema };
}

/** @throws Fault `bad-request` for what is not a length of time up to a day. */
export function runTimeoutOf(timeout: string | number): number {
  const ms = parseDuration(timeout);
  if (ms <= maxTimeoutMs) return ms;
  throw new Fault('bad-request', `A timeout of a schedule is at most 24h, not ${timeout}`);
}

function isJson(value: unknown): boolean {
  return value === undefined || z.json().safeParse(value).success;
}

/** A check of the schema out of a function that throws a Fault. */
function refusing<T>(check: (value: T) => unknown) {
  return (context: { readonly value: T; readonly issues: z.core.$ZodRawIssue[] }): void => {
    try {
      check(context.value);
    } catch (error) {
      if (!Fault.is(error)) throw error;
      context.issues.push({ code: 'custom', message: error.message, input: context.value });
    }
  };
}

import type { JobSchedulerJson, Queue } from 'bullmq';
import type { Redis } from 'ioredis';
import { withinDeadline } from './run-book.ts';
import type { ScheduleSpec } from './schedule-definition.ts';
import { jobPrefix, type RunJob } from './schedule-run.ts';
import { intervalOf, nextTicks, startOf } from './timing.ts';

/** The ticks of one schedule, as Redis has them. */
export type StoredTicks = JobSchedulerJson<RunJob>;

/** Only Redis itself can fail a job, services cannot: such a job is tried again. */
export const jobOptions = {
  removeOnComplete: true,
  removeOnFail: true,
  attempts: 10,
  backoff: { type: 'fixed', delay: 1_000 },
} as const;

/** How far a next tick may be off before the clock is taken to have jumped. */
const clockSlackMs = 2_000;

/** The ticks of all schedules: BullMQ's job schedulers, each with one job that waits for its time. */
export class TickTable {
  readonly #queue: Queue<RunJob>;
  readonly #redis: Redis;
  readonly #prefix: string;

  constructor(options: {
    readonly queue: Queue<RunJob>;
    readonly redis: Redis;
    readonly namespace: string;
  }) {
    this.#queue = options.queue;
    this.#redis = options.redis;
    this.#prefix = jobPrefix(options.namespace);
  }

  async list(): Promise<readonly StoredTicks[]> {
    const [stored] = await Promise.all([
      withinDeadline(this.#queue.getJobSchedulers(0, -1, true)),
      // Nobody reads the stream of events: BullMQ would keep 10,000.
      withinDeadline(this.#redis.hsetnx(`${this.#prefix}meta`, 'opts.maxLenEvents', 100)),
    ]);
    return stored;
  }

  /** Whether the stored ticks are those of the definition, and the next one is there. */
  async inOrder(scheduler: StoredTicks, spec: ScheduleSpec): Promise<boolean> {
    const { next, key } = scheduler;
    if (next === undefined || !sameTiming(scheduler, spec)) return false;
    const now = Date.now();
    // A clock that was set back would leave it waiting for the time that was.
    const [first = 0] = nextTicks(spec, now, 1);
    if (spec.every !== undefined && next > first + intervalOf(spec.every) + clockSlackMs)
      return false;
    const id = `repeat:${key}:${next}`;
    return (await withinDeadline(this.#redis.exists(`${this.#prefix}${id}`))) === 1;
  }

  async put(name: string, spec: ScheduleSpec): Promise<void> {
    const template = { name, data: { schedule: name }, opts: jobOptions };
    const { cron, every, timezone } = spec;
    if (cron !== undefined) {
      const start = startOf(spec);
      const repeat = {
        pattern: cron,
        tz: timezone ?? 'UTC',
        // The first tick is later than this, and one at the start itself counts.
        ...(start === 0 ? {} : { startDate: start - 1 }),
      };
      await withinDeadline(this.#queue.upsertJobScheduler(name, repeat, template));
      return;
    }
    // Without it BullMQ would tick at once, and count its intervals from then.
    const [startDate = 0] = nextTicks(spec, Date.now(), 1);
    const repeat = { every: intervalOf(every ?? ''), startDate };
    await withinDeadline(this.#queue.upsertJobScheduler(name, repeat, template));
  }

  async remove(name: string): Promise<void> {
    await withinDeadline(this.#queue.removeJobScheduler(name));
  }
}

function sameTiming(scheduler: JobSchedulerJson<RunJob>, spec: ScheduleSpec): boolean {
  const { pattern, every, tz, startDate, next = 0 } = scheduler;
  const start = startOf(spec);
  if (spec.cron !== undefined) {
    const since = start === 0 ? undefined : start - 1;
    return pattern === spec.cron && tz === (spec.timezone ?? 'UTC') && startDate === since;
  }
  const wanted = intervalOf(spec.every ?? '');
  return (
    pattern === undefined && every === wanted && next >= start && (next - start) % wanted === 0
  );
}

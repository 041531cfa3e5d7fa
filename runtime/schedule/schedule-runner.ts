import { type Job, Worker } from 'bullmq';
import type { Redis } from 'ioredis';
import { newCid } from '../core/cid.ts';
import { withDeadline } from '../core/deadline.ts';
import { Fault } from '../core/fault.ts';
import type { Logger } from '../log/logger.ts';
import { type Claim, RunBook } from './run-book.ts';
import {
  type ManualRun,
  queueName,
  type RunJob,
  type ScheduledCall,
  type ScheduleRun,
} from './schedule-run.ts';

export interface ScheduledRun {
  readonly service: string;
  readonly input: unknown;
  readonly cid: string;
  readonly schedule: string;
  readonly timeoutMs: number;
}

export interface ScheduleRunnerOptions {
  /** A connection for blocking reads, that waits for Redis for ever. */
  readonly redis: Redis;
  /** A connection that fails fast. */
  readonly commands: Redis;
  /** Calls the service; ends within `timeoutMs`. */
  readonly run: (run: ScheduledRun) => Promise<{ readonly payload?: unknown }>;
  /** The version of a service that is deployed, for the history. */
  readonly versionOf?: (service: string) => number | undefined;
  readonly log: Logger;
  readonly namespace?: string;
  /** How many run at once in this process; default 50. */
  readonly concurrency?: number;
  /** A tick that nobody took for so long was missed; default 30 s. */
  readonly missedAfterMs?: number;
}

type Outcome = Partial<ManualRun>;

/** A run that ended its process so often is not tried again. */
const maxTries = 5;
/** The service's own deadline comes first. */
const timeoutGraceMs = 1_000;
const maxPayloadLength = 65_536;
const maxErrorLength = 1_000;

/**
 * Runs the ticks of every schedule, each once in the cluster; again, in another process, when the one
 * that ran it ended. A service that fails is not asked again: the next tick is.
 */
export class ScheduleRunner {
  readonly #worker: Worker<RunJob>;
  readonly #book: RunBook;
  readonly #options: ScheduleRunnerOptions;
  readonly #log: Logger;
  #running = 0;

  constructor(options: ScheduleRunnerOptions) {
    const { namespace = 'hence', log } = options;
    this.#options = options;
    this.#log = log;
    this.#book = new RunBook(options.commands, namespace);
    this.#worker = new Worker<RunJob>(queueName, (job) => this.#process(job), {
      connection: options.redis,
      prefix: `{${namespace}}`,
      concurrency: options.concurrency ?? 50,
      autorun: false,
      maxStalledCount: 20,
      // A run whose process died runs elsewhere within the sum of the two.
      lockDuration: 6_000,
      stalledInterval: 1_500,
      runRetryDelay: 500,
      drainDelay: 5,
    });
    this.#worker.on('error', dampen(log));
    this.#worker.on('failed', (job, error) => {
      if (job?.finishedOn === undefined) return;
      log.error('scheduled run given up', { schedule: job.name, reason: error.message });
    });
  }

  start(): void {
    this.#worker.run().catch((error: unknown) => {
      this.#log.error('schedules stopped', { error });
    });
  }

  /** Takes no more, and waits for those that run, at most `graceMs`. What is left runs again elsewhere. */
  async stop(graceMs: number): Promise<void> {
    const deadline = Date.now() + graceMs;
    await within(this.#worker.pause(true), graceMs);
    while (this.#running > 0 && Date.now() < deadline) {
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    // Forced, it lets go of a run that hangs: its lock runs out, and another process takes it over.
    // Without a deadline close() waits for an unreachable Redis for ever (taskforcesh/bullmq#4656).
    await within(this.#worker.close(this.#running > 0), Math.max(deadline - Date.now(), 1_000));
  }

  async #process(job: Job<RunJob>): Promise<Outcome | undefined> {
    this.#running++;
    try {
      const outcome = await this.#perform(job);
      return job.data.manual?.wait ? outcome : undefined;
    } finally {
      this.#running--;
    }
  }

  async #perform({ id = '', data }: Job<RunJob>): Promise<Outcome> {
    const { schedule, manual } = data;
    const { missedAfterMs = 30_000 } = this.#options;
    const due = manual ? undefined : dueOf(id);
    const now = Date.now();
    const claim: Claim = {
      schedule,
      id,
      kind: manual ? 'manual' : 'tick',
      late: due !== undefined && now - due > missedAfterMs,
      cid: manual?.cid ?? newCid(),
      startedAt: new Date(now).toISOString(),
      token: newCid(),
    };
    const facts = due === undefined ? {} : { dueAt: new Date(due).toISOString() };
    const verdict = await this.#book.claim(claim);
    switch (verdict.verdict) {
      case 'gone':
        return { result: 'skipped', error: 'the schedule is gone' };
      case 'missed':
        return this.#skip(claim, facts, 'no worker ran when it was due');
      case 'overlap':
        return this.#skip(claim, facts, 'the run before it was not over');
      case 'run':
        return this.#call({ ...claim, cid: verdict.cid }, facts, verdict);
    }
  }

  async #call(
    claim: Claim,
    facts: Pick<ScheduleRun, 'dueAt'>,
    { call, tries }: { readonly call: ScheduledCall; readonly tries: number },
  ): Promise<Outcome> {
    const { schedule, id, kind, cid, startedAt } = claim;
    const { service } = call;
    const version = this.#options.versionOf?.(service);
    const started = performance.now();
    const ended = await this.#invoke(claim, call, tries);
    const entry: ScheduleRun = {
      id,
      kind,
      result: ended.fault ? 'failed' : 'ok',
      startedAt,
      ...facts,
      ms: Math.round((performance.now() - started) * 10) / 10,
      cid,
      ...(version === undefined ? {} : { version }),
      ...(ended.fault ? { error: reasonOf(ended.fault) } : {}),
      ...(tries > 1 ? { again: true } : {}),
    };
    this.#tell(schedule, service, entry, ended.fault);
    await this.#note(claim, entry);
    const { ms, result, error } = entry;
    return {
      result,
      ms,
      ...(error === undefined ? {} : { error }),
      ...(version === undefined ? {} : { version }),
      ...(ended.payload === undefined ? {} : { payload: ended.payload }),
    };
  }

  async #invoke(
    { schedule, cid }: Claim,
    { service, input = {}, timeoutMs }: ScheduledCall,
    tries: number,
  ): Promise<{ readonly payload?: unknown; readonly fault?: Fault }> {
    try {
      if (tries > maxTries) {
        throw new Fault(
          'internal',
          `It was begun ${maxTries} times, and each time its process ended`,
        );
      }
      const { payload } = await withDeadline(
        this.#options.run({ service, input, cid, schedule, timeoutMs }),
        timeoutMs + timeoutGraceMs,
        () => new Fault('timeout', `Service ${service} did not end in ${timeoutMs} ms`),
        { holds: false },
      );
      return { payload: shown(payload) };
    } catch (error) {
      return { fault: Fault.from(error) };
    }
  }

  #tell(schedule: string, service: string, entry: ScheduleRun, fault: Fault | undefined): void {
    const { cid, ms, kind, version, error } = entry;
    const facts = {
      schedule,
      service,
      cid,
      kind,
      ms,
      ...(version === undefined ? {} : { version }),
    };
    if (!fault) {
      this.#log.debug('scheduled run done', facts);
      return;
    }
    // The stack of what was not expected.
    const bug =
      fault.code === 'internal' && fault.cause !== undefined ? { error: fault.cause } : {};
    this.#log.error('scheduled run failed', { ...facts, reason: error, ...bug });
  }

  /** The run is over whether it can be noted or not: it must not be made again for that. */
  async #note({ schedule, token }: Claim, entry: ScheduleRun): Promise<void> {
    const facts = { schedule, cid: entry.cid, result: entry.result };
    try {
      if (await this.#book.finish(schedule, token, entry)) return;
      this.#log.debug('scheduled run is not in the history: deleted, or taken over', facts);
    } catch (error) {
      this.#log.warn('scheduled run is not in the history', { ...facts, error });
    }
  }

  async #skip(claim: Claim, facts: Pick<ScheduleRun, 'dueAt'>, error: string): Promise<Outcome> {
    const { schedule, id, kind, cid, startedAt } = claim;
    const entry = { id, kind, result: 'skipped', startedAt, ...facts, ms: 0, cid, error } as const;
    const times = await this.#book.skip(schedule, entry);
    if (times === 1) this.#log.warn('scheduled run skipped', { schedule, cid, reason: error });
    return { result: 'skipped', error };
  }
}

/** A tick's job is named `repeat:<schedule>:<when it was due>`. */
function dueOf(id: string): number | undefined {
  const due = Number(/:(\d+)$/.exec(id)?.[1]);
  return Number.isFinite(due) ? due : undefined;
}

/** What can be kept for whoever waits for it. */
function shown(payload: unknown): unknown {
  try {
    const text = JSON.stringify(payload);
    return text !== undefined && text.length <= maxPayloadLength ? payload : undefined;
  } catch {
    return undefined;
  }
}

function reasonOf(fault: Fault): string {
  const cause = fault.code === 'internal' && fault.cause instanceof Error ? fault.cause : fault;
  return `${fault.code}: ${cause.message}`.slice(0, maxErrorLength);
}

/** Waits, at most so long, for what may never settle. */
async function within(promise: Promise<unknown>, ms: number): Promise<void> {
  await withDeadline(promise, ms, () => new Error('late')).catch(() => {});
}

/** One line a second at most: a Redis that is full makes thousands of errors a second. */
function dampen(log: Logger): (error: Error) => void {
  let lastAt = 0;
  let hidden = 0;
  return (error) => {
    const now = Date.now();
    if (now - lastAt < 1_000) {
      hidden++;
      return;
    }
    log.warn('schedules: Redis trouble', { error: error.message, hidden });
    lastAt = now;
    hidden = 0;
  };
}

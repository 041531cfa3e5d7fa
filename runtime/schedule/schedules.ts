import { Queue } from 'bullmq';
import type { Redis } from 'ioredis';
import { Fault } from '../core/fault.ts';
import type { Logger } from '../log/logger.ts';
import { type BookState, RunBook, withinDeadline, writeCall } from './run-book.ts';
import { runTimeoutOf, type ScheduleSpec } from './schedule-definition.ts';
import {
  type ManualRun,
  type NamedSchedule,
  queueName,
  type RunJob,
  type ScheduledCall,
  type ScheduleRun,
  type ScheduleState,
} from './schedule-run.ts';
import { jobOptions, type StoredTicks, TickTable } from './tick-table.ts';
import { nextTicks } from './timing.ts';

type Definition = NamedSchedule<ScheduleSpec>;

export interface SchedulesOptions {
  /** A connection that fails fast, not one that waits for ever. */
  readonly redis: Redis;
  /** What there should be, as it is now. */
  readonly definitions: () => readonly Definition[];
  readonly log: Logger;
  readonly namespace?: string;
  /** How often it is looked after what nobody told of; default 10 s. */
  readonly tendMs?: number;
}

export interface Reconciled {
  readonly created: readonly string[];
  readonly changed: readonly string[];
  readonly removed: readonly string[];
}

interface Plan {
  readonly name: string;
  readonly action: 'created' | 'changed' | 'removed' | 'kept';
  readonly steps: readonly (() => Promise<unknown>)[];
}

const waitStepMs = 25;
const upcomingTicks = 5;

/** Keeps the ticks in Redis equal to the definitions, and tells and does what an operator asks. One process has it. */
export class Schedules {
  readonly #queue: Queue<RunJob>;
  readonly #book: RunBook;
  readonly #ticks: TickTable;
  readonly #definitions: SchedulesOptions['definitions'];
  readonly #log: Logger;
  readonly #tendMs: number;
  #timer: NodeJS.Timeout | undefined;
  #busy: Promise<unknown> = Promise.resolve();
  #next: Promise<void> | undefined;
  #failing = false;

  constructor(options: SchedulesOptions) {
    const { redis, definitions, log, namespace = 'hence', tendMs = 10_000 } = options;
    this.#definitions = definitions;
    this.#log = log;
    this.#tendMs = tendMs;
    this.#book = new RunBook(redis, namespace);
    this.#queue = new Queue<RunJob>(queueName, {
      connection: redis,
      prefix: `{${namespace}}`,
      skipMetasUpdate: true,
    });
    this.#ticks = new TickTable({ redis, queue: this.#queue, namespace });
    this.#queue.on('error', () => {
      // Every call has its own deadline and says so to its caller.
    });
  }

  /** Makes the ticks equal to the definitions, now and whenever they differ. */
  start(): void {
    this.#timer ??= setInterval(() => void this.refresh(), this.#tendMs);
    void this.refresh();
  }

  /** To be called when definitions changed. Never rejects: what failed is tried again later. */
  refresh(): Promise<void> {
    this.#next ??= this.#busy.then(() => {
      this.#next = undefined;
      this.#busy = this.#tend();
      return this.#busy.then(() => {});
    });
    return this.#next;
  }

  /**
   * Makes the ticks equal to these definitions; does nothing where they are.
   * @throws Fault `unavailable`; what was done stays done.
   */
  async reconcile(definitions: readonly Definition[]): Promise<Reconciled> {
    const [calls, ticks, schedulers] = await Promise.all([
      this.#book.calls(),
      this.#book.ticks(),
      this.#ticks.list(),
    ]);
    const byKey = new Map(schedulers.map((scheduler) => [scheduler.key, scheduler]));
    const wanted = new Set(definitions.map(({ name }) => name));
    const known = new Set([...calls.keys(), ...byKey.keys()]);
    const plans = await Promise.all(
      definitions.map((definition) =>
        this.#planOf(definition, {
          call: calls.get(definition.name),
          ticks: ticks.get(definition.name) ?? 0,
          scheduler: byKey.get(definition.name),
        }),
      ),
    );
    const removals = [...known]
      .filter((name) => !wanted.has(name))
      .sort()
      .map(this.#removal);
    return this.#carryOut([...plans, ...removals]);
  }

  /** What is known of these, in their order. */
  async describe(definitions: readonly Definition[]): Promise<readonly ScheduleState[]> {
    const states = await Promise.all(definitions.map(({ name }) => this.#book.state(name, 1)));
    return definitions.map(({ spec }, at) => stateOf(spec, states[at] ?? unknown));
  }

  /** The next five ticks (ISO 8601), and the last 50 runs, newest first. */
  async detail({ name, spec }: Definition): Promise<{
    readonly state: ScheduleState;
    readonly upcoming: readonly string[];
    readonly history: readonly ScheduleRun[];
  }> {
    const book = await this.#book.state(name);
    const left = (spec.maxRuns ?? Number.POSITIVE_INFINITY) - book.ticks;
    const count = spec.enabled ? Math.max(0, Math.min(upcomingTicks, left)) : 0;
    return {
      state: stateOf(spec, book),
      upcoming: nextTicks(spec, Date.now(), count).map(iso),
      history: book.runs,
    };
  }

  /**
   * Runs it now, on any worker, also when it is disabled. With `waitMs` it resolves when the run has ended.
   * @throws Fault `conflict` when it runs and may not overlap; `timeout` when it did not end in `waitMs`.
   */
  async run(
    { name, spec }: Definition,
    options: { readonly cid: string; readonly waitMs?: number },
  ): Promise<ManualRun> {
    const { cid, waitMs } = options;
    const { running } = await this.#book.state(name, 1);
    if (running[0] && !spec.overlap) {
      throw new Fault('conflict', `Schedule ${name} is running (cid ${running[0].cid})`);
    }
    await this.#book.put(name, writeCall(callOf(spec)));
    const wait = waitMs !== undefined;
    const job = await withinDeadline(
      this.#queue.add(
        name,
        { schedule: name, manual: { cid, wait } },
        wait
          ? { ...jobOptions, removeOnComplete: keptAWhile, removeOnFail: keptAWhile }
          : jobOptions,
      ),
    );
    const run = { id: String(job.id), cid, schedule: name, service: spec.service };
    return wait ? { ...run, ...(await this.#outcome(name, run.id, waitMs)) } : run;
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    this.#timer = undefined;
    await this.#busy;
    await withinDeadline(this.#queue.close());
  }

  async #tend(): Promise<void> {
    try {
      const { created, changed, removed } = await this.reconcile(this.#definitions());
      this.#failing = false;
      if (created.length + changed.length + removed.length === 0) return;
      this.#log.info('schedules changed', { created, changed, removed });
    } catch (error) {
      if (!this.#failing) this.#log.warn('schedules not in order, it is tried again', { error });
      this.#failing = true;
    }
  }

  async #planOf(
    { name, spec }: Definition,
    now: {
      readonly call: string | undefined;
      readonly ticks: number;
      readonly scheduler: StoredTicks | undefined;
    },
  ): Promise<Plan> {
    const call = writeCall(callOf(spec));
    const { scheduler } = now;
    const ticking = spec.enabled && !(spec.maxRuns !== undefined && now.ticks >= spec.maxRuns);
    const steps: Plan['steps'][number][] = [];
    if (call !== now.call) steps.push(() => this.#book.put(name, call));
    if (!ticking && scheduler) steps.push(() => this.#ticks.remove(name));
    if (ticking && !(scheduler && (await this.#ticks.inOrder(scheduler, spec)))) {
      if (scheduler) steps.push(() => this.#ticks.remove(name));
      steps.push(() => this.#ticks.put(name, spec));
    }
    if (steps.length === 0) return { name, action: 'kept', steps };
    return { name, action: now.call === undefined ? 'created' : 'changed', steps };
  }

  readonly #removal = (name: string): Plan => ({
    name,
    action: 'removed',
    steps: [() => this.#ticks.remove(name), () => this.#book.remove(name)],
  });

  /** One that fails does not stop the others. */
  async #carryOut(plans: readonly Plan[]): Promise<Reconciled> {
    const done = await Promise.allSettled(
      plans.map(async ({ steps }) => {
        for (const step of steps) await step();
      }),
    );
    const failed = done.find((each) => each.status === 'rejected');
    if (failed) throw failed.reason;
    const names = (action: Plan['action']) =>
      plans.filter((plan) => plan.action === action).map(({ name }) => name);
    return { created: names('created'), changed: names('changed'), removed: names('removed') };
  }

  async #outcome(name: string, id: string, waitMs: number): Promise<Partial<ManualRun>> {
    const deadline = Date.now() + waitMs;
    for (let step = waitStepMs; Date.now() < deadline; step = Math.min(step * 1.2, 250)) {
      await new Promise((resolve) => setTimeout(resolve, step));
      const job = await withinDeadline(this.#queue.getJob(id));
      if (job === undefined) throw new Fault('not-found', `Schedule ${name} was deleted`);
      if (job.finishedOn === undefined) continue;
      if (job.failedReason) return { result: 'failed', error: job.failedReason };
      return job.returnvalue as Partial<ManualRun>;
    }
    throw new Fault(
      'timeout',
      `The run of schedule ${name} did not end in ${waitMs} ms; it goes on, and its history will tell`,
    );
  }
}

/** Seconds: whoever waits reads the outcome of a run within them. */
const keptAWhile = { age: 60, count: 100 } as const;
const unknown: BookState = { ticks: 0, runs: [], running: [] };

function stateOf(spec: ScheduleSpec, { ticks, runs, running }: BookState): ScheduleState {
  const finished = spec.maxRuns !== undefined && ticks >= spec.maxRuns;
  const [next] = spec.enabled && !finished ? nextTicks(spec, Date.now(), 1) : [];
  return {
    ...(next === undefined ? {} : { next: iso(next) }),
    ...(runs[0] ? { last: runs[0] } : {}),
    running,
    runs: ticks,
    finished,
  };
}

function callOf(spec: ScheduleSpec): ScheduledCall {
  const { service, input, missed, overlap, maxRuns, timeout, enabled } = spec;
  return {
    service,
    missed,
    overlap,
    ...(maxRuns === undefined ? {} : { maxRuns }),
    timeoutMs: runTimeoutOf(timeout),
    enabled,
    ...(input === undefined ? {} : { input }),
  };
}

function iso(ms: number): string {
  return new Date(ms).toISOString();
}

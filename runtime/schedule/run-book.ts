import type { Redis } from 'ioredis';
import { withDeadline } from '../core/deadline.ts';
import { Fault } from '../core/fault.ts';
import { run, type Script } from '../redis/script.ts';
import { claimScript, finishScript, keptRuns, skipScript, stateScript } from './run-scripts.ts';
import {
  jobPrefix,
  type RunKind,
  type RunningRun,
  type ScheduledCall,
  type ScheduleRun,
} from './schedule-run.ts';

export interface Claim {
  readonly schedule: string;
  /** The id of the job. */
  readonly id: string;
  readonly kind: RunKind;
  /** It was due so long ago that it counts as missed. */
  readonly late: boolean;
  readonly cid: string;
  /** ISO 8601. */
  readonly startedAt: string;
  /** Of this attempt alone: what another process took over cannot be finished with it. */
  readonly token: string;
}

export type Verdict =
  /** The schedule is deleted, disabled or finished. */
  | { readonly verdict: 'gone' }
  | { readonly verdict: 'missed'; readonly call: ScheduledCall }
  | { readonly verdict: 'overlap'; readonly call: ScheduledCall; readonly cid: string }
  | {
      readonly verdict: 'run';
      readonly call: ScheduledCall;
      /** That of the first attempt, where there was one. */
      readonly cid: string;
      readonly tries: number;
    };

export interface BookState {
  /** Ticks that ran since the schedule was made. */
  readonly ticks: number;
  /** Newest first. */
  readonly runs: readonly ScheduleRun[];
  readonly running: readonly RunningRun[];
}

const timeoutMs = 3_000;

/** What Redis knows of schedules beside their ticks: what to call, who runs, how runs ended. */
export class RunBook {
  readonly #redis: Redis;
  readonly #namespace: string;
  readonly #calls: string;
  readonly #ticks: string;

  /** @param redis a connection that fails fast, not one that waits for ever */
  constructor(redis: Redis, namespace: string) {
    this.#redis = redis;
    this.#namespace = namespace;
    this.#calls = `{${namespace}}:schedule-calls`;
    this.#ticks = `{${namespace}}:schedule-ticks`;
  }

  /** Every schedule that has a call, as `writeCall` wrote it. */
  async calls(): Promise<ReadonlyMap<string, string>> {
    return new Map(Object.entries(await this.#within(this.#redis.hgetall(this.#calls))));
  }

  /** How many ticks of each schedule ran. */
  async ticks(): Promise<ReadonlyMap<string, number>> {
    const counts = await this.#within(this.#redis.hgetall(this.#ticks));
    return new Map(Object.entries(counts).map(([name, text]) => [name, Number(text)]));
  }

  async put(schedule: string, call: string): Promise<void> {
    await this.#within(this.#redis.hset(this.#calls, schedule, call));
  }

  /** Forgets all of it, the history too. */
  async remove(schedule: string): Promise<void> {
    const all = this.#redis
      .multi()
      .hdel(this.#calls, schedule)
      .hdel(this.#ticks, schedule)
      .del(this.#runs(schedule), this.#running(schedule));
    await this.#within(all.exec());
  }

  /** Whether this job may run, noted as running if so. The same job may ask again after a crash. */
  async claim(claim: Claim): Promise<Verdict> {
    const { schedule, id, kind, late, token, cid, startedAt } = claim;
    const keys = [this.#calls, this.#ticks, this.#running(schedule)];
    const prefix = jobPrefix(this.#namespace);
    const args = [schedule, id, kind, late ? '1' : '0', prefix, token, cid, startedAt];
    const [verdict, raw, first, tries] = listOf(await this.#script(claimScript, keys, args));
    if (verdict === 'gone') return { verdict };
    const call = readCall(String(raw));
    if (verdict === 'missed') return { verdict, call };
    if (verdict === 'overlap') return { verdict, call, cid: String(first) };
    return { verdict: 'run', call, cid: String(first), tries: Number(tries) };
  }

  /** False when the schedule is gone or another process took the run over: then nothing is noted. */
  async finish(schedule: string, token: string, entry: ScheduleRun): Promise<boolean> {
    const keys = [this.#calls, this.#runs(schedule), this.#running(schedule)];
    const args = [schedule, entry.id, token, JSON.stringify(entry)];
    return (await this.#script(finishScript, keys, args)) === 1;
  }

  /** How many were skipped in a row for this reason; 0 when the schedule is gone. */
  async skip(schedule: string, entry: ScheduleRun): Promise<number> {
    const keys = [this.#calls, this.#runs(schedule)];
    return Number(await this.#script(skipScript, keys, [schedule, JSON.stringify(entry)]));
  }

  async state(schedule: string, runs = keptRuns): Promise<BookState> {
    const keys = [this.#ticks, this.#runs(schedule), this.#running(schedule)];
    const args = [schedule, jobPrefix(this.#namespace), runs];
    const [ticks, history, running] = listOf(await this.#script(stateScript, keys, args));
    return {
      ticks: Number(ticks),
      runs: listOf(history).map((text) => JSON.parse(String(text)) as ScheduleRun),
      running: listOf(running).map(runningOf),
    };
  }

  #runs(schedule: string): string {
    return `{${this.#namespace}}:schedule-runs:${schedule}`;
  }

  #running(schedule: string): string {
    return `{${this.#namespace}}:schedule-running:${schedule}`;
  }

  #script(script: Script, keys: readonly string[], args: readonly (string | number)[]) {
    return this.#within(run(this.#redis, script, keys, args));
  }

  #within<T>(promise: Promise<T>): Promise<T> {
    return withinDeadline(promise);
  }
}

/** @throws Fault `unavailable` for whatever Redis or BullMQ throws, and when there is no answer in 3 s. */
export async function withinDeadline<T>(promise: Promise<T>): Promise<T> {
  try {
    return await withDeadline(
      promise,
      timeoutMs,
      () => new Fault('unavailable', `Redis did not answer in ${timeoutMs} ms`),
    );
  } catch (error) {
    if (Fault.is(error)) throw error;
    throw new Fault('unavailable', 'Redis does not serve the schedules', { cause: error });
  }
}

/** A call as it is kept: its flags in the first line, its input in the second. */
export function writeCall({ input, ...flags }: ScheduledCall): string {
  return `${JSON.stringify(flags)}\n${input === undefined ? '' : JSON.stringify(input)}`;
}

function readCall(text: string): ScheduledCall {
  const end = text.indexOf('\n');
  const flags = JSON.parse(text.slice(0, end)) as ScheduledCall;
  const input = text.slice(end + 1);
  return input === '' ? flags : { ...flags, input: JSON.parse(input) };
}

function listOf(reply: unknown): readonly unknown[] {
  return Array.isArray(reply) ? reply : [];
}

function runningOf(text: unknown): RunningRun {
  const { id, kind, cid, startedAt } = JSON.parse(String(text)) as RunningRun;
  return { id, kind, cid, startedAt };
}

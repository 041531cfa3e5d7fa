/** A schedule by its name; the store of definitions gives these. */
export interface NamedSchedule<Spec> {
  readonly name: string;
  readonly spec: Spec;
}

export type RunKind = 'tick' | 'manual';

/** One run, or what was skipped in a row for one reason, as the history has it. */
export interface ScheduleRun {
  readonly id: string;
  readonly kind: RunKind;
  readonly result: 'ok' | 'failed' | 'skipped';
  /** ISO 8601. */
  readonly startedAt: string;
  /** When the tick was due, ISO 8601. */
  readonly dueAt?: string;
  readonly ms: number;
  readonly cid: string;
  /** The service's. */
  readonly version?: number;
  /** Why it failed or was skipped. */
  readonly error?: string;
  /** It had begun before, in a process that ended. */
  readonly again?: boolean;
  /** How many were skipped in a row, the first of them being this one. */
  readonly times?: number;
}

/** A run that goes on now. */
export interface RunningRun {
  readonly id: string;
  readonly kind: RunKind;
  readonly cid: string;
  /** ISO 8601. */
  readonly startedAt: string;
}

/** What is known of a schedule beside its definition. */
export interface ScheduleState {
  /** ISO 8601; absent when it is disabled or finished. */
  readonly next?: string;
  readonly last?: ScheduleRun;
  readonly running: readonly RunningRun[];
  /** Ticks that ran since it was made. */
  readonly runs: number;
  /** `maxRuns` is reached. */
  readonly finished: boolean;
}

/** A run by hand: how it ended where that was waited for. */
export interface ManualRun {
  readonly id: string;
  readonly cid: string;
  readonly schedule: string;
  readonly service: string;
  readonly result?: ScheduleRun['result'];
  readonly ms?: number;
  readonly error?: string;
  readonly version?: number;
  /** What the service answered, unless it is not JSON or over 64 KB. */
  readonly payload?: unknown;
}

/** What a worker must know to run a tick: kept beside the ticks, so that a change reaches those under way. */
export interface ScheduledCall {
  readonly service: string;
  readonly input?: unknown;
  readonly missed: 'skip' | 'once';
  readonly overlap: boolean;
  readonly maxRuns?: number;
  readonly timeoutMs: number;
  readonly enabled: boolean;
}

/** The data of a job: ticks name only their schedule. */
export interface RunJob {
  readonly schedule: string;
  readonly manual?: { readonly cid: string; readonly wait: boolean };
}

export const queueName = 'schedules';

export function jobPrefix(namespace: string): string {
  return `{${namespace}}:${queueName}:`;
}

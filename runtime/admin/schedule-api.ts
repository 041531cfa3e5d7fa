import type { ManualRun, RunningRun, ScheduleRun } from '../schedule/schedule-run.ts';
import type { DefinitionView } from './api.ts';

/** A schedule's definition, and how it goes. */
export interface ScheduleView extends DefinitionView {
  /** ISO 8601; absent when it is disabled or finished. */
  readonly next?: string;
  readonly last?: ScheduleRun;
  readonly running: readonly RunningRun[];
  /** Ticks that ran since it was made. */
  readonly runs: number;
  /** `maxRuns` is reached. */
  readonly finished: boolean;
  /** The next five ticks, ISO 8601. Only from the route of one schedule. */
  readonly upcoming?: readonly string[];
  /** The last 50 runs, newest first. Only from the route of one schedule. */
  readonly history?: readonly ScheduleRun[];
}

export type { ManualRun, ScheduleRun };

/**
 * How long to wait before each further attempt, in ms; each is varied by up to 10 %. The first is
 * more than 5 s: Pushover wants no request repeated sooner after a 5xx (its API page).
 */
export const retrySchedule: readonly number[] = [
  6_000,
  30_000,
  5 * 60_000,
  30 * 60_000,
  2 * 3_600_000,
  5 * 3_600_000,
  10 * 3_600_000,
];

/** The wait after the given attempt (from 1), or -1 when there is none left. */
export function retryDelay(
  attempt: number,
  schedule: readonly number[] = retrySchedule,
  random = Math.random(),
): number {
  const delayMs = schedule[attempt - 1];
  return delayMs === undefined ? -1 : Math.round(delayMs * (0.9 + 0.2 * random));
}

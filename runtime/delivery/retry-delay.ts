/** Back-off over about three days; a subscription's own list replaces it. */
export const deliveryRetryMs: readonly number[] = [
  1_000,
  5_000,
  30_000,
  5 * 60_000,
  30 * 60_000,
  2 * 3_600_000,
  5 * 3_600_000,
  10 * 3_600_000,
  14 * 3_600_000,
  20 * 3_600_000,
  24 * 3_600_000,
];

/** The wait after an attempt, in ms: so many had failed before it. Varied by up to 10 %. */
export function retryDelayMs(
  schedule: readonly number[],
  failuresBefore: number,
  random = Math.random(),
): number {
  const step = schedule[Math.min(failuresBefore, schedule.length - 1)] ?? 0;
  return Math.round(step * (0.9 + 0.2 * random));
}

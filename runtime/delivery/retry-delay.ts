/** The wait after an attempt, in ms: so many had failed before it. Varied by up to 10 %. */
export function retryDelayMs(
  schedule: readonly number[],
  failuresBefore: number,
  random = Math.random(),
): number {
  const step = schedule[Math.min(failuresBefore, schedule.length - 1)] ?? 0;
  return Math.round(step * (0.9 + 0.2 * random));
}

import type { Logger } from '../log/logger.ts';

/** Waits for all. An end is an end: what cannot be closed is said, and the rest goes on. */
export async function settle(
  log: Logger,
  closings: readonly (Promise<unknown> | undefined)[],
): Promise<void> {
  for (const outcome of await Promise.allSettled(closings)) {
    if (outcome.status === 'rejected') log.warn('not closed cleanly', { error: outcome.reason });
  }
}

/** Waits for the work, but no longer than so. */
export async function atMost(ms: number, work: Promise<unknown> | undefined): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, ms);
  });
  await Promise.race([work, late]).finally(() => clearTimeout(timer));
}

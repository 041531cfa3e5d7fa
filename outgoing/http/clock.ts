/** The time, as a connection needs it; tests step their own. */
export interface Clock {
  /** Unix time in ms. */
  now(): number;
  /** Resolves after `ms`; rejects with the signal's reason when that comes first. */
  wait(ms: number, signal: AbortSignal): Promise<void>;
  /** 0 to 1, for jitter. */
  random(): number;
}

export const systemClock: Clock = {
  now: Date.now,
  random: Math.random,
  wait: (ms, signal) =>
    new Promise((resolve, reject) => {
      const abandon = () => {
        clearTimeout(timer);
        reject(signal.reason);
      };
      const timer = setTimeout(() => {
        signal.removeEventListener('abort', abandon);
        resolve();
      }, ms);
      if (signal.aborted) abandon();
      else signal.addEventListener('abort', abandon, { once: true });
    }),
};

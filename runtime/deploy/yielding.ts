import { setImmediate as nextTurn } from 'node:timers/promises';

const longestMs = 5;

/** Called between pieces of a long work, it lets the event loop turn every 5 ms. */
export function yielding(): () => Promise<void> {
  let since = performance.now();
  return async () => {
    if (performance.now() - since < longestMs) return;
    await nextTurn();
    since = performance.now();
  };
}

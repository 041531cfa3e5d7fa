import type { Facts } from '../log/logger.ts';

/** One line a second at most: a Redis that is full, or a dead endpoint, makes thousands of them. */
export function damped(
  write: (message: string, facts: Facts) => void,
): (message: string, facts: Facts) => void {
  let lastAt = 0;
  let hidden = 0;
  return (message, facts) => {
    const now = Date.now();
    if (now - lastAt < 1_000) {
      hidden++;
      return;
    }
    write(message, hidden === 0 ? facts : { ...facts, hidden });
    lastAt = now;
    hidden = 0;
  };
}

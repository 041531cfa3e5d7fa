/** Says when nothing has happened for a time; without a time it never does. */
export class IdleClock {
  readonly #idleMs: number | undefined;
  readonly #expired: () => void;
  #touchedAt = performance.now();
  #timer: NodeJS.Timeout | undefined;

  constructor(idleMs: number | undefined, expired: () => void) {
    this.#idleMs = idleMs;
    this.#expired = expired;
    if (idleMs !== undefined) this.#watch(idleMs, idleMs);
  }

  touch(): void {
    if (this.#idleMs !== undefined) this.#touchedAt = performance.now();
  }

  stop(): void {
    clearTimeout(this.#timer);
  }

  #watch(ms: number, idleMs: number): void {
    this.#timer = setTimeout(() => {
      const left = this.#touchedAt + idleMs - performance.now();
      if (left > 0) this.#watch(left, idleMs);
      else this.#expired();
    }, ms);
  }
}

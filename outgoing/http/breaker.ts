import { EventEmitter } from 'node:events';
import CircuitBreaker from 'opossum';

/** How a try ended, for the breaker: `neither` says nothing about the other side. */
export type Verdict = 'good' | 'bad' | 'neither';

/** Opens after so many failures in a row; then one call at a time may try whether it may close. */
export class Breaker<T> {
  readonly #circuit: CircuitBreaker<[() => Promise<T>], T>;
  #inARow = 0;
  #nextTryAt: number | undefined;

  constructor(failures: number, resetMs: number, verdict: (outcome: T) => Verdict) {
    this.#circuit = new CircuitBreaker(
      async (action: () => Promise<T>) => {
        const outcome = await action();
        this.#count(verdict(outcome), outcome, failures);
        return outcome;
      },
      {
        timeout: false,
        resetTimeout: resetMs,
        // It opens when we count enough failures in a row, never by a percentage of its own.
        volumeThreshold: Number.MAX_SAFE_INTEGER,
        rollingPercentilesEnabled: false,
        enableSnapshots: false,
        // Without this each breaker would keep a timer.
        rotateBucketController: new EventEmitter(),
      },
    );
    this.#circuit.on('open', () => {
      this.#nextTryAt = Date.now() + resetMs;
    });
  }

  get state(): 'closed' | 'open' | 'half-open' {
    if (this.#circuit.closed) return 'closed';
    return this.#circuit.halfOpen ? 'half-open' : 'open';
  }

  /** How long until a call may try; 0 when one may now. */
  get waitMs(): number {
    if (this.#circuit.closed) return 0;
    return Math.max(0, (this.#nextTryAt ?? 0) - Date.now());
  }

  /** The action's outcome, or undefined without running it while the breaker is open. */
  async run(action: () => Promise<T>): Promise<T | undefined> {
    try {
      return await this.#circuit.fire(action);
    } catch (error) {
      if (error instanceof Failed) return error.outcome as T;
      if (error instanceof Error && CircuitBreaker.isOurError(error)) return undefined;
      throw error;
    }
  }

  stop(): void {
    this.#circuit.shutdown();
  }

  #count(verdict: Verdict, outcome: T, failures: number): void {
    if (verdict === 'good') this.#inARow = 0;
    // A probe that tells nothing must not close the breaker.
    const bad = verdict === 'bad' || (verdict === 'neither' && !this.#circuit.closed);
    if (!bad) return;
    this.#inARow++;
    if (this.#inARow >= failures) this.#circuit.open();
    throw new Failed(outcome);
  }
}

/** Carries a bad outcome through the circuit, which knows failure only as a throw. */
class Failed extends Error {
  readonly outcome: unknown;

  constructor(outcome: unknown) {
    super('bad outcome');
    this.outcome = outcome;
  }
}

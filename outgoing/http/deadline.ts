import { Fault } from '../../runtime/core/fault.ts';

/** The caller no longer waits: this says nothing about the other side. */
export class GivenUp extends Fault {}

/** Who else may end a deadline, and with which Fault. */
export interface Caller {
  readonly signal: AbortSignal;
  readonly giveUp?: () => Fault;
}

/** A length of time that ends by aborting its signal with a Fault; its caller may end it sooner. */
export class Deadline {
  readonly timeoutMs: number;
  readonly #controller = new AbortController();
  readonly #timer: NodeJS.Timeout;
  readonly #caller: AbortSignal | undefined;
  readonly #abandon: () => void;

  constructor(timeoutMs: number, late: () => Fault, caller?: Caller) {
    this.timeoutMs = timeoutMs;
    this.#caller = caller?.signal;
    this.#abandon = () => this.#controller.abort(caller?.giveUp?.() ?? caller?.signal.reason);
    this.#timer = setTimeout(() => this.#controller.abort(late()), timeoutMs);
    if (this.#caller?.aborted) this.#abandon();
    else this.#caller?.addEventListener('abort', this.#abandon, { once: true });
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  end(): void {
    clearTimeout(this.#timer);
    this.#caller?.removeEventListener('abort', this.#abandon);
  }
}

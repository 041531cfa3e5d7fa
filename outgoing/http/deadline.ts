import { Fault } from '../../runtime/core/fault.ts';

/** The caller no longer waits: this says nothing about the other side. */
export class GivenUp extends Fault {}

/** All sockets were busy with other calls: this says nothing about the other side. */
export class NoneFree extends Fault {}

/** The Fault of a time that passed, which may have been spent in line for a socket. */
export type Late = (queued: boolean) => Fault;

/** Who else may end a deadline, and with which Fault. */
export interface Caller {
  readonly signal: AbortSignal;
  readonly giveUp?: () => Fault;
}

/** A length of time that ends by aborting its signal with a Fault; its caller may end it sooner. */
export class Deadline {
  readonly timeoutMs: number;
  /** Whether its work stands in line for a socket. */
  queued = false;
  readonly #controller = new AbortController();
  readonly #timer: NodeJS.Timeout;
  readonly #caller: AbortSignal | undefined;
  readonly #abandon: () => void;

  constructor(timeoutMs: number, late: Late, caller?: Caller) {
    this.timeoutMs = timeoutMs;
    this.#caller = caller?.signal;
    this.#abandon = () => this.#controller.abort(caller?.giveUp?.() ?? caller?.signal.reason);
    this.#timer = setTimeout(() => this.#controller.abort(late(this.queued)), timeoutMs);
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

import { setMaxListeners } from 'node:events';

/** The exchanges of a door that are not over yet. */
export class OpenExchanges {
  readonly #drain = new AbortController();
  readonly #open = new Set<Promise<void>>();

  constructor() {
    // One for each long poll.
    setMaxListeners(0, this.#drain.signal);
  }

  /** Aborted when the door drains. */
  get draining(): AbortSignal {
    return this.#drain.signal;
  }

  /** @param served never rejects */
  add(served: Promise<void>): void {
    this.#open.add(served);
    void served.then(() => this.#open.delete(served));
  }

  /** Resolves when every exchange is over, and with it every message that it took. */
  async drain(): Promise<void> {
    this.#drain.abort();
    while (this.#open.size > 0) await Promise.all(this.#open);
  }
}

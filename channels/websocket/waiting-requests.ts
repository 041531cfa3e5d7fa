import { Fault } from '../../runtime/core/fault.ts';

interface Waiting {
  readonly resolve: (data: unknown) => void;
  readonly reject: (reason: Fault) => void;
  readonly timer: NodeJS.Timeout;
}

const maxWaiting = 1_000;

/** Requests sent to a client that it has not answered yet. */
export class WaitingRequests {
  readonly #waiting = new Map<string, Waiting>();

  /**
   * The client's answer to the frame with this id.
   * @throws Fault `timeout`, `too-many`, and what `failAll` says.
   */
  wait(id: string, timeoutMs: number): Promise<unknown> {
    if (this.#waiting.size >= maxWaiting) {
      const sentence = `More than ${maxWaiting} requests wait for this client's answers`;
      return Promise.reject(new Fault('too-many', sentence));
    }
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#waiting.delete(id);
        reject(new Fault('timeout', `The WebSocket client did not answer in ${timeoutMs} ms`));
      }, timeoutMs);
      this.#waiting.set(id, { resolve, reject, timer });
    });
  }

  /** Whether somebody waited for it. */
  settle(id: string, data: unknown): boolean {
    const waiting = this.#take(id);
    waiting?.resolve(data);
    return waiting !== undefined;
  }

  fail(id: string, reason: Fault): void {
    this.#take(id)?.reject(reason);
  }

  failAll(reason: Fault): void {
    for (const id of [...this.#waiting.keys()]) this.fail(id, reason);
  }

  #take(id: string): Waiting | undefined {
    const waiting = this.#waiting.get(id);
    this.#waiting.delete(id);
    clearTimeout(waiting?.timer);
    return waiting;
  }
}

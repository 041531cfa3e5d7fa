import { newCid } from '../../runtime/core/cid.ts';
import { pingPayload } from './server-frame.ts';

export interface HeartbeatOptions {
  readonly intervalMs: number;
  /** Pings in a row without their pong that are too many. */
  readonly missed: number;
  /** False when it was not sent, which is no fault of the client's then. */
  readonly ping: (payload: string) => boolean;
  readonly alive: () => void;
  readonly dead: () => void;
}

const pongDeadlineMs = 5_000;

/** Pings a client, and notices when it does not answer. */
export class Heartbeat {
  readonly #options: HeartbeatOptions;
  #interval: NodeJS.Timeout | undefined;
  #deadline: NodeJS.Timeout | undefined;
  #expected: string | undefined;
  #missed = 0;

  constructor(options: HeartbeatOptions) {
    this.#options = options;
  }

  start(): void {
    this.#interval ??= setInterval(() => this.#ping(), this.#options.intervalMs);
  }

  stop(): void {
    clearInterval(this.#interval);
    clearTimeout(this.#deadline);
    this.#expected = undefined;
  }

  /** Only the payload of the last ping counts, and only once. */
  pong(payload: Buffer): void {
    if (this.#expected === undefined || payload.toString() !== this.#expected) return;
    clearTimeout(this.#deadline);
    this.#expected = undefined;
    this.#missed = 0;
    this.#options.alive();
  }

  #ping(): void {
    const { intervalMs, ping } = this.#options;
    if (this.#expected !== undefined) this.#miss();
    if (this.#missed >= this.#options.missed) return;
    const payload = pingPayload(newCid());
    if (!ping(payload)) return;
    this.#expected = payload;
    clearTimeout(this.#deadline);
    // One that is shorter than the interval: else the next ping finds the pong missing.
    if (intervalMs > pongDeadlineMs) {
      this.#deadline = setTimeout(() => this.#miss(), pongDeadlineMs);
    }
  }

  #miss(): void {
    this.#expected = undefined;
    this.#missed++;
    if (this.#missed < this.#options.missed) return;
    this.stop();
    this.#options.dead();
  }
}

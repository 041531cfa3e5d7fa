import type { Redis } from 'ioredis';
import { background } from '../core/background.ts';

export interface WatchOptions {
  /** Makes a dedicated connection. */
  readonly subscriber: () => Redis;
  readonly channel: string;
  readonly pollMs: number;
  readonly reconcileMs: number;
  /** `full`: read everything, not only what changed. Never rejects. */
  readonly refresh: (full: boolean) => Promise<void>;
}

/** Asks for a refresh when it is told of a change, and regularly in case it was not. */
export class Watch {
  readonly #options: WatchOptions;
  #connection: Redis | undefined;
  #timers: readonly NodeJS.Timeout[] = [];

  constructor(options: WatchOptions) {
    this.#options = options;
  }

  start(): void {
    if (this.#timers.length > 0) return;
    const { pollMs, reconcileMs } = this.#options;
    this.#listen();
    this.#timers = [
      setInterval(() => this.#poll(), pollMs),
      setInterval(() => this.#refresh(true), reconcileMs),
    ];
  }

  stop(): void {
    for (const timer of this.#timers) clearInterval(timer);
    this.#timers = [];
    this.#connection?.disconnect();
    this.#connection = undefined;
  }

  #poll(): void {
    // A connection that has ended for good does not come back on its own.
    if (this.#connection?.status === 'end') this.#listen();
    this.#refresh(false);
  }

  #listen(): void {
    const { subscriber, channel } = this.#options;
    const connection = subscriber();
    this.#connection = connection;
    connection.on('error', ignore);
    connection.on('message', () => this.#refresh(false));
    // What was published while it was away is not sent again.
    connection.on('ready', () => this.#refresh(false));
    background(connection.subscribe(channel), ignore);
  }

  #refresh(full: boolean): void {
    background(this.#options.refresh(full), ignore);
  }
}

/** Polling finds what this connection misses, and the store's own calls report that Redis is down. */
function ignore(): void {}

import type { Redis } from 'ioredis';
import type { RedisStore } from './redis-store.ts';

/** What changes elsewhere: messages for those who wait for one, and program-made subscriptions. */
export class Wakes {
  readonly #store: RedisStore;
  readonly #connect: () => Redis;
  readonly #waiting = new Map<string, Set<() => void>>();
  readonly #onSubscriptions: () => void;
  #redis: Redis | undefined;

  constructor(store: RedisStore, connect: () => Redis, onSubscriptions: () => void) {
    this.#store = store;
    this.#connect = connect;
    this.#onSubscriptions = onSubscriptions;
  }

  /** The next message for this subscription wakes its waiters, in every process. */
  async announce(subKey: string): Promise<void> {
    this.listen();
    const { prefix, redis } = this.#store;
    await this.#store.within(redis.hset(`${prefix}ps:waiters`, subKey, 1));
  }

  /** Until the subscription is woken (then true), the time is up, or the signal ends it. */
  wait(subKey: string, ms: number, signal: AbortSignal | undefined): Promise<boolean> {
    return new Promise((resolve) => {
      const waiters = this.#waiting.get(subKey) ?? new Set();
      const finish = (woken: boolean) => {
        clearTimeout(timer);
        signal?.removeEventListener('abort', give);
        waiters.delete(wake);
        if (waiters.size === 0) this.#waiting.delete(subKey);
        resolve(woken);
      };
      const give = () => finish(false);
      const wake = () => finish(true);
      const timer = setTimeout(give, Math.max(ms, 0));
      signal?.addEventListener('abort', give, { once: true });
      // One that was aborted before does not say so again.
      if (signal?.aborted) {
        give();
        return;
      }
      waiters.add(wake);
      this.#waiting.set(subKey, waiters);
    });
  }

  listen(): void {
    if (this.#redis) return;
    const { prefix } = this.#store;
    const connection = this.#connect();
    this.#redis = connection;
    connection.on('message', (channel: string, text: string) => {
      if (channel === `${prefix}ps:subscriptions`) this.#onSubscriptions();
      else for (const wake of [...(this.#waiting.get(text) ?? [])]) wake();
    });
    const channels = [`${prefix}ps:wake`, `${prefix}ps:subscriptions`];
    // It is subscribed again with every new connection; what came between two of them woke nobody.
    connection.on('ready', () => {
      connection.subscribe(...channels).then(
        () => this.#wakeAll(),
        () => undefined,
      );
    });
  }

  close(): void {
    this.#redis?.disconnect();
    this.#wakeAll();
  }

  #wakeAll(): void {
    for (const waiters of [...this.#waiting.values()]) for (const wake of [...waiters]) wake();
  }
}

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

  /** Until the subscription is woken, the time is up, or the signal ends it. */
  wait(subKey: string, ms: number, signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve) => {
      const waiters = this.#waiting.get(subKey) ?? new Set();
      const finish = () => {
        clearTimeout(timer);
        signal?.removeEventListener('abort', finish);
        waiters.delete(finish);
        if (waiters.size === 0) this.#waiting.delete(subKey);
        resolve();
      };
      const timer = setTimeout(finish, Math.max(ms, 0));
      signal?.addEventListener('abort', finish, { once: true });
      waiters.add(finish);
      this.#waiting.set(subKey, waiters);
    });
  }

  listen(): void {
    if (this.#redis) return;
    const { prefix } = this.#store;
    this.#redis = this.#connect();
    this.#redis.on('message', (channel: string, text: string) => {
      if (channel === `${prefix}ps:subscriptions`) this.#onSubscriptions();
      else for (const finish of [...(this.#waiting.get(text) ?? [])]) finish();
    });
    // It is subscribed again with every new connection.
    this.#redis.subscribe(`${prefix}ps:wake`, `${prefix}ps:subscriptions`).catch(() => undefined);
  }

  close(): void {
    this.#redis?.disconnect();
    for (const waiters of this.#waiting.values()) for (const finish of [...waiters]) finish();
  }
}

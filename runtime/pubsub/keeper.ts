import { setImmediate as breathe } from 'node:timers/promises';
import type { Limits } from './limits.ts';
import {
  awakeScript,
  dropScript,
  quietScript,
  restScript,
  tendScript,
  wakeScript,
} from './lua/keep.ts';
import type { RedisStore } from './redis-store.ts';
import type { RouteState } from './routes.ts';

export interface Rest {
  /** False: messages wait, go on. */
  readonly asleep: boolean;
  /** When the next lease, delay or expiry of the queue ends, in ms since 1970. */
  readonly nextAt?: number;
}

/** Queues looked at by one script, and messages dropped by one. */
const tendChunk = 20;
const dropChunk = 500;

/** Keeps queues in order: what is due in them, whose delivery runs, which have lost their subscription. */
export class Keeper {
  readonly #store: RedisStore;
  readonly #limits: Limits;
  readonly #routes: () => RouteState;
  readonly #refresh: () => Promise<void>;
  readonly #onWake: (subKeys: readonly string[]) => void;

  constructor(options: {
    readonly store: RedisStore;
    readonly limits: Limits;
    readonly routes: () => RouteState;
    readonly refresh: () => Promise<void>;
    readonly onWake: (subKeys: readonly string[]) => void;
  }) {
    this.#store = options.store;
    this.#limits = options.limits;
    this.#routes = options.routes;
    this.#refresh = options.refresh;
    this.#onWake = options.onWake;
  }

  /** Ends what is due in every queue; resolves with how many messages expired. */
  async tend(): Promise<number> {
    let expired = 0;
    for (;;) {
      const [more, gone, ...waiting] = await this.#store.ask(
        tendScript,
        this.#limits.maxDead,
        tendChunk,
      );
      expired += Number(gone);
      await this.wake(waiting.map(String));
      if (more !== 1) return expired;
      await breathe();
    }
  }

  /** Wakes the push subscriptions among these whose delivery does not run. */
  async wake(subKeys: readonly string[]): Promise<void> {
    const { routes } = this.#routes();
    const push = subKeys.filter((subKey) => routes.get(subKey)?.push);
    if (push.length === 0) return;
    const woken = await this.#store.ask(wakeScript, ...push);
    if (woken.length > 0) this.#onWake(woken.map(String));
  }

  async quiet(quietMs: number): Promise<readonly string[]> {
    return (await this.#store.ask(quietScript, quietMs)).map(String);
  }

  async awake(subKey: string): Promise<void> {
    await this.#store.ask(awakeScript, subKey);
  }

  async rest(subKey: string, { until }: { readonly until?: number } = {}): Promise<Rest> {
    const [asleep, next] = await this.#store.ask(
      restScript,
      subKey,
      this.#limits.maxDead,
      until === undefined ? '' : Math.round(until),
    );
    const nextAt = Number(next);
    return { asleep: asleep === 1, ...(nextAt < 0 ? {} : { nextAt }) };
  }

  /** Deletes a queue, chunk by chunk, unless somebody subscribes with its key again. */
  async drop(subKey: string): Promise<void> {
    for (;;) {
      const { routes, subscriptions } = this.#routes();
      if (routes.get(subKey)) return;
      const [outcome, left] = await this.#store.ask(
        dropScript,
        routes.revision,
        subscriptions,
        subKey,
        dropChunk,
      );
      if (outcome === 'stale') await this.#refresh();
      else if (Number(left) === 0) return;
      await breathe();
    }
  }

  /** Drops the queues that no subscription owns; resolves with their subKeys. */
  async sweepOrphans(): Promise<readonly string[]> {
    await this.#refresh();
    const { redis, prefix } = this.#store;
    const start = `${prefix}q:`;
    const found = new Set<string>();
    let cursor = '0';
    do {
      const [next, keys] = await this.#store.within(
        redis.scan(cursor, 'MATCH', `${escapeGlob(start)}*`, 'COUNT', 1_000),
      );
      cursor = next;
      for (const key of keys) found.add(key.slice(start.length, key.lastIndexOf(':')));
    } while (cursor !== '0');
    // Of a queue without messages, what its deliverer or its readers left.
    for (const subKey of await this.#marked()) found.add(subKey);
    const orphans = [...found].filter((subKey) => !this.#routes().routes.get(subKey));
    for (const subKey of orphans) await this.drop(subKey);
    return orphans;
  }

  async #marked(): Promise<readonly string[]> {
    const { redis, prefix } = this.#store;
    const marks = await this.#store.within(
      Promise.all([
        redis.zrange(`${prefix}ps:awake`, '0', '-1'),
        redis.zrange(`${prefix}ps:due`, '0', '-1'),
        redis.hkeys(`${prefix}ps:waiters`),
      ]),
    );
    return marks.flat();
  }
}

function escapeGlob(text: string): string {
  return text.replace(/[\\*?[\]]/g, '\\$&');
}

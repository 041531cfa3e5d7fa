import { Queue } from 'bullmq';
import type { Redis } from 'ioredis';
import { background } from '../core/background.ts';
import { withDeadline } from '../core/deadline.ts';
import type { Logger } from '../log/logger.ts';
import { damped } from './damper.ts';
import { type DrainJob, defaultShards, drainJobId, shardNames, shardOf } from './shards.ts';

export interface DeliveryQueuesOptions {
  /** A connection that fails fast, not one that waits for ever. */
  readonly redis: Redis;
  readonly log: Logger;
  readonly namespace?: string;
  /** The same in every process. */
  readonly shards?: number;
}

const timeoutMs = 3_000;
const jobOptions = { removeOnComplete: true, removeOnFail: true } as const;

/** Asks for deliveries: one job per woken subscription, in a few BullMQ queues. */
export class DeliveryQueues {
  readonly shards: number;
  readonly #queues: readonly Queue<DrainJob>[];
  readonly #warn: (message: string, facts: Readonly<Record<string, unknown>>) => void;
  readonly #woken = new Set<string>();
  #flushing: Promise<void> | undefined;
  #closed = false;

  constructor({ redis, log, namespace = 'hence', shards = defaultShards }: DeliveryQueuesOptions) {
    this.shards = shards;
    this.#warn = damped((message, facts) => log.warn(message, facts));
    this.#queues = shardNames(shards).map((name) => {
      const queue = new Queue<DrainJob>(name, {
        connection: redis,
        prefix: `{${namespace}}`,
        streams: { events: { maxLen: 100 } },
        skipMetasUpdate: true,
      });
      queue.on('error', () => {
        // Every call has its own deadline, and its failure is told there.
      });
      return queue;
    });
  }

  /** Never fails: a wake that is lost is found by the sweep of `DeliveryRunner`. */
  wake(subKeys: readonly string[]): void {
    if (this.#closed) return;
    for (const subKey of subKeys) this.#woken.add(subKey);
    if (this.#flushing || this.#woken.size === 0) return;
    this.#flushing = this.#flush().finally(() => {
      this.#flushing = undefined;
      if (this.#woken.size > 0) this.wake([]);
    });
  }

  /** Whether drains wait for a free place. */
  async crowded(shard: number): Promise<boolean> {
    const queue = this.#queues[shard];
    return queue !== undefined && (await within(queue.getWaitingCount())) > 0;
  }

  /** What was woken is asked for; then nothing more is. */
  async close(): Promise<void> {
    if (this.#closed) return;
    await this.#flushing;
    this.#closed = true;
    await Promise.all(this.#queues.map((queue) => within(queue.close()).catch(() => {})));
  }

  async #flush(): Promise<void> {
    const woken = [...this.#woken];
    this.#woken.clear();
    const byShard = new Map<number, string[]>();
    for (const subKey of woken) {
      const shard = shardOf(subKey, this.shards);
      const there = byShard.get(shard);
      if (there) there.push(subKey);
      else byShard.set(shard, [subKey]);
    }
    await Promise.all([...byShard].map(([shard, subKeys]) => this.#add(shard, subKeys)));
  }

  async #add(shard: number, subKeys: readonly string[]): Promise<void> {
    const jobs = subKeys.map((subKey) => ({
      name: 'drain',
      data: { subKey },
      opts: { ...jobOptions, jobId: drainJobId(subKey) },
    }));
    const [first] = jobs;
    const queue = this.#queues[shard];
    if (!queue || !first) return;
    try {
      await within<unknown>(
        jobs.length === 1 ? queue.add(first.name, first.data, first.opts) : queue.addBulk(jobs),
      );
    } catch (error) {
      this.#warn('deliveries were not woken, the sweep will find them', {
        error: error instanceof Error ? error.message : String(error),
        subscriptions: jobs.length,
      });
    }
  }
}

function within<T>(promise: Promise<T>): Promise<T> {
  // Too late, its failure is nobody's any more.
  background(promise, () => {});
  return withDeadline(
    promise,
    timeoutMs,
    () => new Error(`Redis did not answer in ${timeoutMs} ms`),
  );
}

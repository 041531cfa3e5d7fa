import type { Redis } from 'ioredis';
import { Fault } from '../core/fault.ts';
import type { Logger } from '../log/logger.ts';
import { Consumer, type Rejected, type Rejection, type TakeOptions } from './consumer.ts';
import { Keeper, type Rest } from './keeper.ts';
import { defaultLimits, type Limits } from './limits.ts';
import { subscribeScript, subscriptionsScript } from './lua/keep.ts';
import type { Delivery, Depth, Lease, Publication, Published, QueuedMessage } from './message.ts';
import { Publisher } from './publisher.ts';
import {
  type BrowsePage,
  type BrowseQuery,
  type PurgeOptions,
  Queues,
  type RedriveOptions,
} from './queues.ts';
import { RedisStore } from './redis-store.ts';
import type { RouteSource, Subscription } from './routes.ts';
import { Wakes } from './wakes.ts';

export interface BrokerOptions {
  /** For commands; shared with others. */
  readonly redis: Redis;
  /** Makes a dedicated connection at its first use; the broker closes it. */
  readonly subscriber: () => Redis;
  readonly source: RouteSource;
  readonly log: Logger;
  /** Default `hence`. */
  readonly namespace?: string;
  readonly limits?: Partial<Limits>;
  /** Told, once the publication is stored, of push subscriptions whose delivery does not run. */
  readonly onWake?: (subKeys: readonly string[]) => void;
  /** Asked again at delivery; a message it refuses is dead, `not-permitted`. Default: yes. */
  readonly mayReceive?: (subKey: string, topic: string) => boolean;
}

export interface TopicStats {
  /** Publications since ever. */
  readonly published: number;
  /** Of the last one, in ms since 1970. */
  readonly lastAt?: number;
}

/**
 * Topics and queues in Redis: one queue for each subscription, filled by one script for all of them or
 * none, emptied under leases. Every method ends within 3 s for each call to Redis it needs, and throws
 * Fault `unavailable` when that fails; its details have `outcome: 'unknown'` where it may have happened.
 */
export class Broker {
  readonly #store: RedisStore;
  readonly #source: RouteSource;
  readonly #log: Logger;
  readonly #wakes: Wakes;
  readonly #publisher: Publisher;
  readonly #consumer: Consumer;
  readonly #queues: Queues;
  readonly #keeper: Keeper;
  #subscriptions: readonly Subscription[] = [];
  #revision = '0';
  #refreshing: Promise<void> | undefined;
  #reading: Promise<void> = Promise.resolve();
  #nextReading: Promise<void> | undefined;

  constructor(options: BrokerOptions) {
    const { redis, source, namespace = 'hence', onWake = () => {} } = options;
    const store = new RedisStore(redis, namespace);
    const limits = { ...defaultLimits, ...options.limits };
    const routes = () => ({ routes: source.routes, subscriptions: this.#revision });
    const refresh = () => this.refresh();
    this.#store = store;
    this.#source = source;
    this.#log = options.log;
    this.#wakes = new Wakes(store, options.subscriber, () => this.#refreshSoon());
    this.#publisher = new Publisher({ store, limits, routes, refresh, onWake });
    this.#keeper = new Keeper({ store, limits, routes, refresh, onWake });
    this.#queues = new Queues({ store, routes: () => source.routes, onWake });
    this.#consumer = new Consumer({
      store,
      limits,
      wakes: this.#wakes,
      mayReceive: options.mayReceive ?? (() => true),
    });
  }

  /** Learns of program-made subscriptions from now on. */
  async start(): Promise<void> {
    this.#wakes.listen();
    await this.#readSubscriptions();
  }

  close(): void {
    this.#wakes.close();
  }

  /**
   * Resolves once the message is in the queue of every subscription of its topic.
   * @throws Fault `bad-request`; `too-large`; `too-many` when a queue is full; `conflict` for a used
   * idempotency key; `unavailable` above the memory watermark or when Redis does not answer. Nothing was
   * published then, unless the outcome is unknown.
   */
  publish(publication: Publication): Promise<Published> {
    return this.#publisher.publish(publication);
  }

  /** Each alone is published or not; what went wrong with one stands in its place. */
  publishMany(publications: readonly Publication[]): Promise<readonly (Published | Fault)[]> {
    return Promise.all(
      publications.map((publication) =>
        this.publish(publication).catch((error) => Fault.from(error)),
      ),
    );
  }

  /** Adds a subscription, or changes it. It gets what is published from now on. */
  async subscribe(subscription: Subscription): Promise<void> {
    await this.#store.ask(subscribeScript, subscription.subKey, JSON.stringify(subscription));
    await this.#readSubscriptions();
  }

  /** Ends a program-made subscription and drops its queue; false when there was none. */
  async unsubscribe(subKey: string): Promise<boolean> {
    const [changed] = await this.#store.ask(subscribeScript, subKey, '');
    await this.#readSubscriptions();
    await this.drop(subKey);
    return changed === 1;
  }

  /** The program-made ones, as last read. */
  subscriptions(): readonly Subscription[] {
    return this.#subscriptions;
  }

  /**
   * Leases messages: highest priority first, then oldest. What is neither acked, rejected nor extended in
   * time comes back, as a failed attempt.
   * @throws Fault `too-many` when `refuseFull` and `maxInflight` are leased; `conflict` when another reader holds it
   */
  take(subKey: string, options: TakeOptions = {}): Promise<readonly Delivery[]> {
    return this.#consumer.take(subKey, options);
  }

  /** For each lease, whether it was still held: false means that somebody else may have the message. */
  ack(subKey: string, leases: readonly Lease[]): Promise<readonly boolean[]> {
    return this.#consumer.ack(subKey, leases);
  }

  /** Back in their own places, at once or after a delay, or to the dead letters. */
  reject(subKey: string, rejections: readonly (Lease & Rejection)[]): Promise<readonly Rejected[]> {
    return this.#consumer.reject(subKey, rejections);
  }

  /** A lease of `leaseMs` from now, for each that is still held. */
  extend(subKey: string, leases: readonly Lease[], leaseMs: number): Promise<readonly boolean[]> {
    return this.#consumer.extend(subKey, leases, leaseMs);
  }

  /**
   * What is leased now of these messages, by an id of any API or by the one its publisher gave it (the oldest
   * that is leased); undefined for what is not.
   */
  leases(subKey: string, ids: readonly string[]): Promise<readonly (Lease | undefined)[]> {
    return this.#consumer.leases(subKey, ids);
  }

  depth(subKeys: readonly string[]): Promise<readonly Depth[]> {
    return this.#queues.depth(subKeys);
  }

  /** A page of one state: waiting in the order of delivery, others by time. It consumes nothing. */
  browse(subKey: string, query: BrowseQuery): Promise<BrowsePage> {
    return this.#queues.browse(subKey, query);
  }

  /** The message as it stands in every queue that holds it. */
  find(msgId: string): Promise<readonly QueuedMessage[]> {
    return this.#queues.find(msgId);
  }

  /** Takes one message out of a queue for good. @throws Fault `conflict` while it is leased. */
  remove(subKey: string, msgId: string): Promise<boolean> {
    return this.#queues.remove(subKey, msgId);
  }

  /** Takes all messages of a state that are there now out of a queue for good; resolves with how many. */
  purge(subKey: string, options: PurgeOptions): Promise<number> {
    return this.#queues.purge(subKey, options);
  }

  /** Dead messages back to their places with a fresh start; resolves with how many. */
  redrive(subKey: string, options: RedriveOptions = {}): Promise<number> {
    return this.#queues.redrive(subKey, options);
  }

  /** Deletes the queue of a subscription that is gone. */
  drop(subKey: string): Promise<void> {
    return this.#keeper.drop(subKey);
  }

  /** Drops the queues that no subscription owns; resolves with their subKeys. */
  sweepOrphans(): Promise<readonly string[]> {
    return this.#keeper.sweepOrphans();
  }

  /** Ends what is due: leases, delays, expiries, fan-outs whose process died. Every process does so each second. */
  async tend(): Promise<void> {
    await this.#keeper.tend();
    await this.#publisher.resume();
  }

  /** Woken push subscriptions whose delivery has not been heard of for so long: their wake was lost. */
  quiet(quietMs: number): Promise<readonly string[]> {
    return this.#keeper.quiet(quietMs);
  }

  /** A sign of life of a subscription's delivery. */
  awake(subKey: string): Promise<void> {
    return this.#keeper.awake(subKey);
  }

  /**
   * Ends a subscription's delivery, unless messages wait. With `until` (ms since 1970) it rests although
   * they wait, no publication wakes it before that, and `tend` or `wake` does.
   */
  rest(subKey: string, options: { readonly until?: number } = {}): Promise<Rest> {
    return this.#keeper.rest(subKey, options);
  }

  /** Wakes these push subscriptions where they sleep or rest. */
  wake(subKeys: readonly string[]): Promise<void> {
    return this.#keeper.wake(subKeys);
  }

  async topicStats(topics: readonly string[]): Promise<readonly TopicStats[]> {
    if (topics.length === 0) return [];
    const { redis, prefix } = this.#store;
    const [counts, times] = await this.#store.within(
      Promise.all([
        redis.hmget(`${prefix}ps:topics`, ...topics),
        redis.hmget(`${prefix}ps:topics:last`, ...topics),
      ]),
    );
    return topics.map((_, n) => {
      const lastAt = times[n];
      return {
        published: Number(counts[n] ?? 0),
        ...(lastAt ? { lastAt: Number(lastAt) } : {}),
      };
    });
  }

  /** Forgets the counters of topics that are gone. */
  async forgetTopics(topics: readonly string[]): Promise<void> {
    if (topics.length === 0) return;
    const { redis, prefix } = this.#store;
    await this.#store.within(
      Promise.all([
        redis.hdel(`${prefix}ps:topics`, ...topics),
        redis.hdel(`${prefix}ps:topics:last`, ...topics),
      ]),
    );
  }

  /** Reads the newest definitions and program-made subscriptions; calls made meanwhile share one. */
  refresh(): Promise<void> {
    this.#refreshing ??= Promise.all([this.#source.refresh(), this.#readSubscriptions()])
      .then(() => undefined)
      .finally(() => {
        this.#refreshing = undefined;
      });
    return this.#refreshing;
  }

  #refreshSoon(): void {
    this.#readSubscriptions().catch((error: unknown) => {
      this.#log.debug('subscriptions not read', { error });
    });
  }

  /** One after the other: an older answer never comes last. Who waits for the next shares it. */
  #readSubscriptions(): Promise<void> {
    this.#nextReading ??= this.#reading.then(() => {
      this.#nextReading = undefined;
      return this.#readSubscriptionsNow();
    });
    this.#reading = this.#nextReading.catch(() => {});
    return this.#nextReading;
  }

  async #readSubscriptionsNow(): Promise<void> {
    const answer = await this.#store.ask(subscriptionsScript, this.#revision);
    const [revision = '0', ...flat] = answer.map(String);
    if (revision === this.#revision) return;
    const made = flat.filter((_, at) => at % 2 === 1);
    const subscriptions = made.map((text) => JSON.parse(text) as Subscription);
    this.#subscriptions = subscriptions;
    this.#source.learn(subscriptions);
    this.#revision = revision;
  }
}

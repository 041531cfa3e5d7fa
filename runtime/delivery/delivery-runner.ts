import { type Job, Worker } from 'bullmq';
import type { Redis } from 'ioredis';
import { background } from '../core/background.ts';
import { withDeadline } from '../core/deadline.ts';
import type { Logger } from '../log/logger.ts';
import { damped } from './damper.ts';
import type { DeliveryQueues } from './delivery-queues.ts';
import { Drain, type DrainEnd, type DrainParts } from './drain.ts';
import { Gates } from './gates.ts';
import { HttpTarget, type PushConnections } from './http-target.ts';
import { Marks } from './marks.ts';
import type { DeliveryBroker, DeliveryNote } from './ports.ts';
import { type ServicePort, ServiceTarget } from './service-target.ts';
import { type DrainJob, drainJobId, shardNames, shardOf } from './shards.ts';
import type { DeliverySubscriptions } from './subscription.ts';
import type { Told } from './verdicts.ts';

export interface DeliveryRunnerOptions {
  /** A connection for blocking reads, that waits for Redis for ever. */
  readonly redis: Redis;
  /** A connection that fails fast. */
  readonly commands: Redis;
  readonly broker: DeliveryBroker;
  readonly queues: DeliveryQueues;
  readonly subscriptions: DeliverySubscriptions;
  readonly services: ServicePort;
  readonly outgoing: PushConnections;
  /** Pauses a subscription whose endpoint wants no more (410). */
  readonly pauseSubscription: (subKey: string, reason: string) => Promise<void>;
  readonly log: Logger;
  readonly note?: (note: DeliveryNote) => void;
  readonly namespace?: string;
  /** Subscriptions delivered at once in this process, for each shard; default 16. */
  readonly concurrency?: number;
  /** How long one subscription may keep its place while others wait for it; default 2 s. */
  readonly sliceMs?: number;
  /** After so long another process takes over from one that died; default 5 s. */
  readonly lockMs?: number;
  /** How long the breaker of an endpoint stays open at first; default 30 s. */
  readonly breakerResetMs?: number;
  /** A woken subscription not heard of for so long is woken again; default 5 s. */
  readonly quietMs?: number;
}

const defaultQuietMs = 5_000;
const closeMs = 1_000;
/** A drain is no message: it may be taken over as often as processes die under it. */
const anyNumber = 1_000_000_000;

/** Delivers to services and outgoing connections: one drain per woken subscription, over all processes. */
export class DeliveryRunner {
  readonly #options: DeliveryRunnerOptions;
  readonly #parts: DrainParts;
  readonly #workers: readonly Worker<DrainJob, DrainEnd>[];
  readonly #drains = new Map<Drain, Promise<DrainEnd>>();
  /** Jobs begun whose end BullMQ has not yet told. */
  readonly #jobs = new Set<string>();
  readonly #ending = new Set<Promise<void>>();
  readonly #told: Told;
  #sweep: NodeJS.Timeout | undefined;
  #stopping: Promise<void> | undefined;

  constructor(options: DeliveryRunnerOptions) {
    this.#options = options;
    this.#told = told(options);
    this.#parts = parts(options, this.#told);
    this.#workers = shardNames(options.queues.shards).map((name) => this.#worker(name));
  }

  start(): void {
    for (const worker of this.#workers) {
      background(worker.run(), (error) =>
        this.#options.log.error('deliveries stopped', { shard: worker.name, error }),
      );
    }
    const { quietMs = defaultQuietMs } = this.#options;
    this.#sweep ??= setInterval(
      () => background(this.#sweepQuiet(quietMs), (error) => this.#told.trouble('', error)),
      quietMs * 0.4,
    );
  }

  /** How many subscriptions are being delivered here. */
  get active(): number {
    return this.#drains.size;
  }

  /**
   * Takes no more, and waits for deliveries that run, at most `graceMs`. What has not begun, or does not end, goes
   * back uncounted: another process delivers it.
   */
  stop(graceMs: number): Promise<void> {
    this.#stopping ??= this.#stop(graceMs);
    return this.#stopping;
  }

  async #stop(graceMs: number): Promise<void> {
    clearInterval(this.#sweep);
    await Promise.all(this.#workers.map((worker) => within(worker.pause(true), closeMs)));
    for (const drain of this.#drains.keys()) drain.stop();
    await within(Promise.all(this.#drains.values()), graceMs);
    for (const drain of this.#drains.keys()) drain.abandon();
    await within(this.#settled(), closeMs);
    const force = this.#jobs.size > 0;
    await Promise.all(this.#workers.map((worker) => close(worker, force)));
  }

  /** Every drain has ended, BullMQ knows, and who waits has been woken elsewhere. */
  async #settled(): Promise<void> {
    const deadline = Date.now() + closeMs;
    while ((this.#jobs.size > 0 || this.#ending.size > 0) && Date.now() < deadline) {
      await Promise.race([
        Promise.all(this.#ending),
        new Promise((resolve) => setTimeout(resolve, 10)),
      ]);
      if (this.#ending.size === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }

  #worker(name: string): Worker<DrainJob, DrainEnd> {
    const { redis, namespace = 'hence', concurrency = 16, lockMs = 5_000, log } = this.#options;
    // BullMQ passes the signal only to a function that names it.
    const worker = new Worker<DrainJob, DrainEnd>(
      name,
      (job, _token, signal) => this.#drain(job, signal),
      {
        connection: redis,
        prefix: `{${namespace}}`,
        concurrency,
        autorun: false,
        maxStalledCount: anyNumber,
        lockDuration: lockMs,
        stalledInterval: lockMs * 0.3,
        runRetryDelay: 500,
        drainDelay: 5,
      },
    );
    const warn = damped((message, facts) => log.warn(message, facts));
    worker.on('error', (error) => warn('deliveries: Redis trouble', { error: error.message }));
    // Another process has it now, or will in a moment.
    worker.on('lockRenewalFailed', (jobIds) => {
      for (const jobId of jobIds) {
        worker.cancelJob(jobId, 'its lock was lost');
        this.#jobs.delete(jobId);
      }
    });
    worker.on('completed', (job, end) => this.#completed(job, end));
    worker.on('failed', (job) => {
      if (job) this.#completed(job, { kind: 'again' });
    });
    return worker;
  }

  async #drain(job: Job<DrainJob>, signal: AbortSignal | undefined): Promise<DrainEnd> {
    const drain = new Drain(job.data.subKey, this.#parts);
    signal?.addEventListener('abort', () => drain.stop(), { once: true });
    if (this.#stopping !== undefined) drain.stop();
    this.#jobs.add(drainJobId(job.data.subKey));
    const running = drain.run(job.stalledCounter > 0);
    this.#drains.set(drain, running);
    try {
      return await running;
    } finally {
      this.#drains.delete(drain);
    }
  }

  #completed(job: Job<DrainJob>, end: DrainEnd): void {
    const ending = this.#ended(job.data.subKey, end)
      .catch((error: unknown) => this.#told.trouble(job.data.subKey, error))
      .finally(() => this.#ending.delete(ending));
    this.#ending.add(ending);
    this.#jobs.delete(drainJobId(job.data.subKey));
  }

  /**
   * Only now that the job is gone can a wake make a new one, so only now the subscription may fall asleep: the broker
   * says whether something came in the meantime.
   */
  async #ended(subKey: string, end: DrainEnd): Promise<void> {
    const { broker, queues, subscriptions } = this.#options;
    if (end.kind === 'rest') {
      // Whose subscription was deleted has nothing to rest for, and would be woken for ever.
      const gone = subscriptions.get(subKey) === undefined;
      if (gone && (await broker.rest(subKey)).asleep) return;
      await broker.rest(subKey, { until: Date.now() + end.ms });
      return;
    }
    if (end.kind === 'empty' && (await broker.rest(subKey)).asleep) return;
    queues.wake([subKey]);
  }

  /** Wakes that were lost: by a process that died, or a Redis that was away. */
  async #sweepQuiet(quietMs: number): Promise<void> {
    const { broker, queues } = this.#options;
    queues.wake(await broker.quiet(quietMs));
  }
}

function parts(options: DeliveryRunnerOptions, tells: Told): DrainParts {
  const { broker, commands, log, queues, subscriptions, breakerResetMs } = options;
  const namespace = options.namespace ?? 'hence';
  const service = new ServiceTarget(options.services);
  const http = new HttpTarget(options.outgoing);
  const lockMs = options.lockMs ?? 5_000;
  return {
    broker,
    subscriptions,
    told: tells,
    targetOf: (subscription) => (subscription.service === undefined ? http : service),
    gates: new Gates({
      redis: commands,
      log,
      namespace,
      ...(breakerResetMs === undefined ? {} : { resetMs: breakerResetMs }),
    }),
    marks: new Marks({ redis: commands, broker, namespace }),
    // A message must not come back before its drain does.
    leaseMs: lockMs * 1.2,
    sliceMs: options.sliceMs ?? 2_000,
    crowded: (subKey) => queues.crowded(shardOf(subKey, queues.shards)),
  };
}

function told({ log, note, pauseSubscription, subscriptions }: DeliveryRunnerOptions): Told {
  const warn = (message: string) => {
    const write = damped((text, facts) => log.warn(text, facts));
    return (facts: Readonly<Record<string, unknown>>) => write(message, facts);
  };
  const failed = warn('delivery failed, it will be tried again');
  const trouble = warn('delivery interrupted, it will be taken up again');
  const lost = warn('what became of deliveries was not stored, they will be repeated');
  const dead = damped((message, facts) => log.error(message, facts));
  const nameOf = (subKey: string) => subscriptions.get(subKey)?.name ?? subKey;
  return {
    note: note ?? (() => {}),
    failed,
    dead: (facts) => dead('message is a dead letter', facts),
    trouble: (subKey, error) => trouble({ subscription: nameOf(subKey), error: textOf(error) }),
    lost: (subKey, error, messages) =>
      lost({ subscription: nameOf(subKey), error: textOf(error), messages }),
    gone: async (subKey, reason) => {
      log.warn('subscription paused: its endpoint wants no more messages', {
        subscription: nameOf(subKey),
        reason,
      });
      await pauseSubscription(subKey, reason);
    },
  };
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Without a deadline close() waits for an unreachable Redis for ever (taskforcesh/bullmq#4656). */
async function close(worker: Worker, force: boolean): Promise<void> {
  await within(worker.close(force), closeMs);
  // A connection of its own, which would look for Redis for ever.
  await within(worker.backend.disconnectBlocking(false), closeMs);
}

/** Waits, at most so long, for what may never settle. */
async function within(promise: Promise<unknown>, ms: number): Promise<void> {
  await withDeadline(promise, ms, () => new Error('late')).catch(() => {});
}

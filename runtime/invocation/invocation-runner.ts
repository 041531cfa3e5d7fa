import { type Job, UnrecoverableError, Worker } from 'bullmq';
import type { Redis } from 'ioredis';
import { withDeadline } from '../core/deadline.ts';
import { Fault, type FaultCode } from '../core/fault.ts';
import type { Logger } from '../log/logger.ts';
import { queueName, type StoredCall } from './invocation-queue.ts';
import { retryDelay } from './retry-schedule.ts';

export interface InvocationRunnerOptions {
  /** A connection for blocking reads, that waits for Redis for ever. */
  readonly redis: Redis;
  readonly run: (call: StoredCall) => Promise<unknown>;
  readonly log: Logger;
  readonly namespace?: string;
  /** How many run at once in this process; default 20. */
  readonly concurrency?: number;
  /** Waits between attempts, in ms; default `retrySchedule`. */
  readonly schedule?: readonly number[];
}

/** Asking the same again cannot help. */
const permanent: ReadonlySet<FaultCode> = new Set([
  'bad-request',
  'unauthorized',
  'forbidden',
  'method-not-allowed',
  'conflict',
  'too-large',
]);

/** Runs stored calls: at least once each, again after a wait when one throws, until it is dead. */
export class InvocationRunner {
  readonly #worker: Worker<StoredCall>;
  readonly #log: Logger;
  readonly #run: InvocationRunnerOptions['run'];
  #running = 0;

  constructor(options: InvocationRunnerOptions) {
    this.#log = options.log;
    this.#run = options.run;
    this.#worker = new Worker<StoredCall>(queueName, (job) => this.#process(job), {
      connection: options.redis,
      prefix: `{${options.namespace ?? 'hence'}}`,
      concurrency: options.concurrency ?? 20,
      autorun: false,
      // A second crash must not fail a call: the default of 1 would.
      maxStalledCount: 20,
      // A call whose process died runs elsewhere within the sum of the two.
      lockDuration: 6_000,
      stalledInterval: 1_500,
      runRetryDelay: 500,
      drainDelay: 5,
      settings: { backoffStrategy: (attempts) => retryDelay(attempts, options.schedule) },
    });
    const damped = dampen(this.#log);
    this.#worker.on('error', damped);
    this.#worker.on('failed', (job, error) => this.#failed(job, error));
  }

  start(): void {
    this.#worker.run().catch((error: unknown) => {
      this.#log.error('stored calls stopped', { error });
    });
  }

  /** Takes no more, and waits for those that run, at most `graceMs`. What is left runs again elsewhere. */
  async stop(graceMs: number): Promise<void> {
    const deadline = Date.now() + graceMs;
    await within(this.#worker.pause(true), graceMs);
    while (this.#running > 0 && Date.now() < deadline) {
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    // Forced, it lets go of a call that hangs: its lock runs out, and another process takes it over.
    // Without a deadline close() waits for an unreachable Redis for ever (taskforcesh/bullmq#4656).
    await within(this.#worker.close(this.#running > 0), Math.max(deadline - Date.now(), 1_000));
  }

  async #process(job: Job<StoredCall>): Promise<void> {
    this.#running++;
    try {
      await this.#run(job.data);
    } catch (error) {
      const fault = Fault.from(error);
      const reason = reasonOf(fault);
      if (permanent.has(fault.code)) throw new UnrecoverableError(reason);
      throw new Error(reason, { cause: error });
    } finally {
      this.#running--;
    }
  }

  #failed(job: Job<StoredCall> | undefined, error: Error): void {
    if (!job) return;
    const { cid, service } = job.data;
    const facts = { cid, service, id: job.id, attempt: job.attemptsMade, reason: error.message };
    if (job.finishedOn === undefined)
      this.#log.warn('stored call failed, it will be tried again', facts);
    else this.#log.error('stored call is dead', facts);
  }
}

/** Waits, at most so long, for what may never settle. */
async function within(promise: Promise<unknown>, ms: number): Promise<void> {
  await withDeadline(promise, ms, () => new Error('late')).catch(() => {});
}

function reasonOf(fault: Fault): string {
  const cause = fault.code === 'internal' && fault.cause instanceof Error ? fault.cause : fault;
  return `${fault.code}: ${cause.message}`;
}

/** One line a second at most: a Redis that is full makes thousands of errors a second. */
function dampen(log: Logger): (error: Error) => void {
  let lastAt = 0;
  let hidden = 0;
  return (error) => {
    const now = Date.now();
    if (now - lastAt < 1_000) {
      hidden++;
      return;
    }
    log.warn('stored calls: Redis trouble', { error: error.message, hidden });
    lastAt = now;
    hidden = 0;
  };
}

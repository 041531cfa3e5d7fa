import { type Job, type JobType, Queue } from 'bullmq';
import type { Redis } from 'ioredis';
import { withDeadline } from '../core/deadline.ts';
import { Fault } from '../core/fault.ts';
import { retrySchedule } from './retry-schedule.ts';

/** A stored call of a service. */
export interface StoredCall {
  readonly service: string;
  readonly input: unknown;
  readonly cid: string;
  /** Of the message that was being handled when it was stored; absent outside of one. */
  readonly hops?: number;
}

export type InvocationState = 'waiting' | 'active' | 'delayed' | 'dead';

export interface Invocation {
  readonly id: string;
  readonly service: string;
  readonly cid: string;
  readonly state: InvocationState;
  readonly attempts: number;
  /** Why it is dead, or why its last attempt failed. */
  readonly reason?: string;
  /** ISO 8601. */
  readonly createdAt: string;
}

export const queueName = 'invocations';
const timeoutMs = 3_000;

const jobTypes = {
  waiting: ['waiting', 'prioritized'],
  active: ['active'],
  delayed: ['delayed'],
  dead: ['failed'],
} as const satisfies Record<InvocationState, readonly JobType[]>;

/** Calls that are stored before they run, on BullMQ; those that used up their attempts are its failed jobs. */
export class InvocationQueue {
  readonly #queue: Queue<StoredCall>;

  /** @param redis a connection that fails fast, not one that waits for ever */
  constructor(redis: Redis, namespace = 'hence') {
    this.#queue = new Queue<StoredCall>(queueName, {
      connection: redis,
      prefix: `{${namespace}}`,
      streams: { events: { maxLen: 100 } },
      skipMetasUpdate: true,
    });
    this.#queue.on('error', () => {
      // Every call has its own deadline and says so to its caller.
    });
  }

  /**
   * Resolves with the call's id once Redis has it.
   * @throws Fault `bad-request` for input that is not JSON, `unavailable` when Redis does not take it.
   */
  async add(call: StoredCall): Promise<string> {
    assertJson(call);
    const job = await this.#within(
      this.#queue.add(call.service, call, {
        attempts: retrySchedule.length + 1,
        backoff: { type: 'custom' },
        removeOnComplete: true,
        removeOnFail: false,
      }),
    );
    return String(job.id);
  }

  /** One page, oldest first, and how many there are. */
  async list(
    state: InvocationState,
    page: { readonly from: number; readonly limit: number },
  ): Promise<{ readonly items: readonly Invocation[]; readonly total: number }> {
    const types = [...jobTypes[state]];
    const [jobs, total] = await this.#within(
      Promise.all([
        this.#queue.getJobs(types, page.from, page.from + page.limit - 1, true),
        this.#queue.getJobCountByTypes(...types),
      ]),
    );
    return { items: jobs.filter(Boolean).map((job) => viewOf(job, state)), total };
  }

  /** Gives a dead call all its attempts again. @throws Fault `not-found`, `conflict` when it is not dead. */
  async retry(id: string): Promise<void> {
    const job = await this.#find(id);
    if (!(await this.#within(job.isFailed()))) {
      throw new Fault('conflict', `Invocation ${id} is not dead`);
    }
    await this.#within(
      job.retry('failed', { resetAttemptsMade: true, resetAttemptsStarted: true }),
    );
  }

  /** @throws Fault `not-found`, `conflict` while it runs. */
  async remove(id: string): Promise<void> {
    const job = await this.#find(id);
    if (await this.#within(job.isActive())) {
      throw new Fault('conflict', `Invocation ${id} is running`);
    }
    await this.#within(job.remove());
  }

  close(): Promise<void> {
    return this.#within(this.#queue.close());
  }

  async #find(id: string): Promise<Job<StoredCall>> {
    const job = await this.#within(this.#queue.getJob(id));
    if (job) return job;
    throw new Fault('not-found', `No such invocation: ${id}`);
  }

  async #within<T>(promise: Promise<T>): Promise<T> {
    try {
      return await withDeadline(
        promise,
        timeoutMs,
        () => new Fault('unavailable', `Redis did not answer in ${timeoutMs} ms`),
      );
    } catch (error) {
      if (Fault.is(error)) throw error;
      throw new Fault('unavailable', 'Redis did not take the call', { cause: error });
    }
  }
}

function viewOf(job: Job<StoredCall>, state: InvocationState): Invocation {
  return {
    id: String(job.id),
    service: job.data.service,
    cid: job.data.cid,
    state,
    attempts: job.attemptsMade,
    ...(job.failedReason ? { reason: job.failedReason } : {}),
    createdAt: new Date(job.timestamp).toISOString(),
  };
}

function assertJson(call: StoredCall): void {
  try {
    JSON.stringify(call.input);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new Fault('bad-request', `The input for ${call.service} is not JSON: ${reason}`, {
      cause: error,
    });
  }
}

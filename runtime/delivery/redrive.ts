import { setTimeout as wait } from 'node:timers/promises';
import { Fault } from '../core/fault.ts';
import type { QueuedMessage } from '../pubsub/message.ts';
import type { RedriveBroker } from './ports.ts';

export interface RedriveOptions {
  /** Messages a second, after the trial; default 100. */
  readonly perSecond?: number;
  /** Only these; default all that are dead when it begins. */
  readonly msgIds?: readonly string[];
  /** How long the trial may take; default 2 min. */
  readonly trialMs?: number;
  /** False: all of them at the rate, without waiting for a first one. */
  readonly trial?: boolean;
  readonly signal?: AbortSignal;
  readonly onProgress?: (redriven: number) => void;
}

export interface Redriven {
  readonly redriven: number;
  /** `failed`: the first message did not get through, and the others stayed where they are. */
  readonly trial: 'passed' | 'failed' | 'late' | 'none';
  /** Why the trial failed. */
  readonly error?: string;
}

const defaultPerSecond = 100;
const defaultTrialMs = 2 * 60_000;
const page = 100;
const pollMs = 200;

/** Brings dead messages back to their subscription: one first, and the others, slowly, once that one got through. */
export class Redrive {
  readonly #broker: RedriveBroker;

  constructor(broker: RedriveBroker) {
    this.#broker = broker;
  }

  async run(subKey: string, options: RedriveOptions = {}): Promise<Redriven> {
    const letters = await this.#letters(subKey, options);
    const [first, ...others] = letters;
    if (!first) return { redriven: 0, trial: 'none' };
    if (options.trial === false) {
      return { redriven: await this.#all(subKey, letters, options), trial: 'none' };
    }
    const tried = await this.#try(subKey, first, options);
    if (tried.trial !== 'passed') return tried;
    const more = await this.#all(subKey, others, { ...options, done: 1 });
    return { redriven: 1 + more, trial: 'passed' };
  }

  /** Message ids that are dead now: one that dies again meanwhile is not redriven a second time. */
  async #letters(subKey: string, { msgIds, signal }: RedriveOptions): Promise<readonly string[]> {
    if (msgIds) return msgIds;
    const all: string[] = [];
    for (;;) {
      signal?.throwIfAborted();
      const query = { state: 'dead', from: all.length, limit: 1_000 } as const;
      const { items } = await this.#broker.browse(subKey, query);
      for (const { message } of items) all.push(message.msgId);
      if (items.length < query.limit) return [...new Set(all)];
    }
  }

  async #try(
    subKey: string,
    msgId: string,
    { trialMs = defaultTrialMs, signal }: RedriveOptions,
  ): Promise<Redriven> {
    if ((await this.#broker.redrive(subKey, { msgIds: [msgId] })) === 0) {
      throw new Fault('conflict', `Message ${msgId} is not among the dead letters of ${subKey}`);
    }
    const deadline = Date.now() + trialMs;
    for (;;) {
      signal?.throwIfAborted();
      const there = (await this.#broker.find(msgId)).find((found) => found.subKey === subKey);
      const trial = there === undefined ? 'passed' : failedOnce(there) ? 'failed' : undefined;
      if (trial) return { redriven: 1, trial, ...errorOf(there) };
      if (Date.now() >= deadline) return { redriven: 1, trial: 'late' };
      await wait(pollMs, undefined, signal ? { signal } : {});
    }
  }

  async #all(
    subKey: string,
    msgIds: readonly string[],
    options: RedriveOptions & { readonly done?: number },
  ): Promise<number> {
    const { perSecond = defaultPerSecond, signal, onProgress, done = 0 } = options;
    const step = Math.max(1, Math.min(page, Math.floor(perSecond / 10)));
    const began = performance.now();
    let redriven = 0;
    for (let at = 0; at < msgIds.length; at += step) {
      const dueMs = began + (at / perSecond) * 1_000 - performance.now();
      if (dueMs > 0) await wait(dueMs, undefined, signal ? { signal } : {});
      signal?.throwIfAborted();
      redriven += await this.#broker.redrive(subKey, { msgIds: msgIds.slice(at, at + step) });
      onProgress?.(done + redriven);
    }
    return redriven;
  }
}

/** Its counters began at 0 again: the first failure says enough. */
function failedOnce({ state, failures }: QueuedMessage): boolean {
  return state === 'dead' || failures > 0;
}

function errorOf(message: QueuedMessage | undefined): { readonly error?: string } {
  const error = message?.lastError ?? message?.reason;
  return error === undefined ? {} : { error };
}

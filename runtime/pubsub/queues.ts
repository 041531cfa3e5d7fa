import { Fault } from '../core/fault.ts';
import {
  browseScript,
  depthScript,
  findScript,
  purgeScript,
  redriveScript,
  removeScript,
} from './lua/look.ts';
import type { Depth, MessageState, QueuedMessage } from './message.ts';
import { isIdOf, seqOf } from './message-id.ts';
import { decodeRecord } from './record.ts';
import type { RedisStore } from './redis-store.ts';
import type { Routes } from './routes.ts';

export interface BrowseQuery {
  readonly state: MessageState;
  /** Default 0. */
  readonly from?: number;
  /** Default 50, at most 1,000. */
  readonly limit?: number;
}

export interface BrowsePage {
  readonly items: readonly QueuedMessage[];
  readonly total: number;
}

export interface PurgeOptions {
  readonly state: Exclude<MessageState, 'leased'>;
  /** Only what came longer ago. */
  readonly olderThanMs?: number;
}

export interface RedriveOptions {
  /** Default: the oldest. */
  readonly msgIds?: readonly string[];
  /** Default: all there are. */
  readonly max?: number;
}

const chunk = 500;
const manyQueues = 500;

/** Looks into queues, and changes what is in them without consuming. */
export class Queues {
  readonly #store: RedisStore;
  readonly #routes: () => Routes;
  readonly #onWake: (subKeys: readonly string[]) => void;

  constructor(options: {
    readonly store: RedisStore;
    readonly routes: () => Routes;
    readonly onWake: (subKeys: readonly string[]) => void;
  }) {
    this.#store = options.store;
    this.#routes = options.routes;
    this.#onWake = options.onWake;
  }

  async depth(subKeys: readonly string[]): Promise<readonly Depth[]> {
    const depths: Depth[] = [];
    for (let at = 0; at < subKeys.length; at += manyQueues) {
      const part = subKeys.slice(at, at + manyQueues);
      const flat = await this.#store.ask(depthScript, ...part);
      for (let n = 0; n + 4 < flat.length; n += 5) depths.push(depthOf(flat.slice(n, n + 5)));
    }
    return depths;
  }

  async browse(subKey: string, query: BrowseQuery): Promise<BrowsePage> {
    const { state, from = 0, limit = 50 } = query;
    if (!(Number.isInteger(limit) && limit >= 1 && limit <= 1_000)) {
      throw new Fault('bad-request', `A page of ${limit} was asked for; 1 to 1000 can be`);
    }
    const [total, ...flat] = await this.#store.askBuffers(browseScript, subKey, state, from, limit);
    const items: QueuedMessage[] = [];
    for (let at = 0; at + 3 < flat.length; at += 4) {
      const [seq, score, info, record] = flat.slice(at, at + 4);
      if (!Buffer.isBuffer(record) || record.length === 0) continue;
      const place = { subKey, state, score: String(score), info: String(info) };
      items.push(queuedOf(decodeRecord(Number(String(seq)), record), place));
    }
    return { items, total: Number(total) };
  }

  async find(msgId: string): Promise<readonly QueuedMessage[]> {
    const seq = seqOf(msgId);
    if (seq === undefined) return [];
    const subKeys = this.#routes()
      .list()
      .map(({ subKey }) => subKey);
    const found: QueuedMessage[] = [];
    for (let at = 0; at === 0 || at < subKeys.length; at += manyQueues) {
      const part = subKeys.slice(at, at + manyQueues);
      const [record, ...flat] = await this.#store.askBuffers(findScript, seq, ...part);
      if (!Buffer.isBuffer(record) || record.length === 0) return [];
      const message = decodeRecord(seq, record);
      // The same number of another Redis, or a guessed id.
      if (!isIdOf(msgId, message.msgId)) return [];
      for (let n = 0; n + 3 < flat.length; n += 4) {
        const [subKey, state, score, info] = flat.slice(n, n + 4).map(String);
        found.push(
          queuedOf(message, {
            subKey: subKey ?? '',
            state: (state ?? 'waiting') as MessageState,
            score: score ?? '',
            info: info ?? '',
          }),
        );
      }
    }
    return found;
  }

  /** @throws Fault `conflict` while it is leased. */
  async remove(subKey: string, msgId: string): Promise<boolean> {
    const seq = seqOf(msgId);
    if (seq === undefined) return false;
    const [outcome] = await this.#store.ask(removeScript, subKey, seq);
    if (outcome === 'leased') {
      throw new Fault('conflict', `Message ${msgId} is being delivered: try again`);
    }
    return outcome === 'removed';
  }

  /** Removes what was there when it began, in chunks; resolves with how many. */
  async purge(subKey: string, { state, olderThanMs }: PurgeOptions): Promise<number> {
    const { redis, prefix } = this.#store;
    const [last, time] = await this.#store.within(
      Promise.all([redis.get(`${prefix}ps:seq`), redis.time()]),
    );
    const before = olderThanMs === undefined ? '' : Number(time[0]) * 1_000 - olderThanMs;
    let removed = 0;
    for (let from = 0; ; ) {
      const args = [subKey, state, last ?? 0, before, from, chunk];
      const [looked, gone] = (await this.#store.ask(purgeScript, ...args)).map(Number);
      removed += gone ?? 0;
      from += (looked ?? 0) - (gone ?? 0);
      if (!looked) return removed;
    }
  }

  /** Dead messages back to their places with a fresh start; resolves with how many. */
  async redrive(subKey: string, { msgIds, max }: RedriveOptions = {}): Promise<number> {
    if (msgIds) {
      const seqs = msgIds.flatMap((msgId) => seqOf(msgId) ?? []).slice(0, max);
      let driven = 0;
      for (let at = 0; at < seqs.length; at += chunk) {
        driven += await this.#drive(subKey, chunk, seqs.slice(at, at + chunk));
      }
      return driven;
    }
    const { redis, prefix } = this.#store;
    // Those that die again meanwhile are not driven twice.
    const dead = await this.#store.within(redis.zcard(`${prefix}q:${subKey}:x`));
    const most = Math.min(max ?? dead, dead);
    let driven = 0;
    while (driven < most) {
      const count = await this.#drive(subKey, Math.min(chunk, most - driven), []);
      if (count === 0) break;
      driven += count;
    }
    return driven;
  }

  async #drive(subKey: string, most: number, seqs: readonly number[]): Promise<number> {
    const push = this.#routes().get(subKey)?.push ? 'p' : '';
    const [wake, ...driven] = await this.#store.ask(redriveScript, subKey, most, push, ...seqs);
    if (wake === 'w') this.#onWake([subKey]);
    return driven.length;
  }
}

function depthOf([waiting, leased, delayed, dead, oldest]: readonly unknown[]): Depth {
  return {
    waiting: Number(waiting),
    leased: Number(leased),
    delayed: Number(delayed),
    dead: Number(dead),
    ...(oldest === '' ? {} : { oldestAt: Number(oldest) }),
  };
}

interface Place {
  readonly subKey: string;
  readonly state: MessageState;
  readonly score: string;
  /** As the scripts keep it, or "". */
  readonly info: string;
}

function queuedOf(
  message: QueuedMessage['message'],
  { subKey, state, score, info }: Place,
): QueuedMessage {
  const [, deliveries = '0', failures = '0'] = info.split('|', 3);
  const failure = failureOf(info.split('|').slice(5).join('|'));
  return {
    subKey,
    state,
    message,
    deliveries: Number(deliveries),
    failures: Number(failures),
    ...(state === 'waiting' ? {} : { at: Number(score) }),
    ...(failure.e === undefined ? {} : { lastError: failure.e }),
    ...(failure.r === undefined ? {} : { reason: failure.r }),
    ...(failure.v === undefined ? {} : { version: failure.v }),
  };
}

function failureOf(text: string): {
  readonly e?: string;
  readonly r?: string;
  readonly v?: string;
} {
  return text === '' ? {} : (JSON.parse(text) as { e?: string; r?: string; v?: string });
}

import type { Redis } from 'ioredis';
import { withDeadline } from '../core/deadline.ts';
import { Fault } from '../core/fault.ts';
import { defaultKeep, journeyKey } from './journey.ts';
import type { KeptStep, StepKind } from './step.ts';

export interface JourneyReaderOptions {
  /** Commands that end within seconds: role 'command'. */
  readonly redis: Redis;
  /** Default 'hence'. */
  readonly namespace?: string;
  /** As `Journey` has it. */
  readonly keep?: number;
}

/** What is known of one journey. */
export interface FoundJourney {
  readonly cid: string;
  /** Oldest first. */
  readonly steps: readonly KeptStep[];
  /** More happened than is shown. */
  readonly cut: boolean;
  /** Steps of any journey that were dropped while this one went on. */
  readonly dropped: number;
}

export interface Kept {
  readonly entries: number;
  /** When the oldest was stored, in ms since 1970. */
  readonly since?: number;
}

type Entry = readonly [id: string, fields: readonly string[]];

const chunk = 500;
const mostSteps = 1_000;
const mostFound = 2_000;
const commandMs = 3_000;
/** For all of a search. */
const searchMs = 10_000;
/** A message under another id leads to that journey, and so on. */
const mostRounds = 4;

/** Finds journeys among the kept ones, whichever process noted them. */
export class JourneyReader {
  readonly #redis: Redis;
  readonly #key: string;
  readonly #mostEntries: number;

  constructor({ redis, namespace, keep }: JourneyReaderOptions) {
    this.#redis = redis;
    this.#key = journeyKey(namespace);
    // Redis trims by whole nodes of the stream: there may be some more than asked for.
    this.#mostEntries = Math.ceil((keep ?? defaultKeep) * 1.25) + chunk;
  }

  /** The journey of a correlation id or of a message; undefined when nothing is kept of it. */
  async find(id: string): Promise<FoundJourney | undefined> {
    const search = new Search(id);
    const deadline = Date.now() + searchMs;
    for (let round = 0; round < mostRounds; round++) {
      const before = search.size;
      for await (const entries of this.#chunks(deadline)) search.look(entries);
      if (search.size === before) break;
    }
    return search.result();
  }

  /** How much is kept. */
  async kept(): Promise<Kept> {
    const [entries, oldest] = await this.#ask(
      Promise.all([
        this.#redis.xlen(this.#key),
        this.#redis.xrange(this.#key, '-', '+', 'COUNT', 1),
      ]),
    );
    const first = oldest[0]?.[0];
    return { entries, ...(first === undefined ? {} : { since: timeOf(first) }) };
  }

  /** Newest first. */
  async *#chunks(deadline: number): AsyncGenerator<readonly Entry[], void, void> {
    let from = '+';
    for (let seen = 0; seen < this.#mostEntries && Date.now() < deadline; seen += chunk) {
      const entries = await this.#ask(this.#redis.xrevrange(this.#key, from, '-', 'COUNT', chunk));
      yield entries;
      const last = entries.at(-1);
      if (last === undefined || entries.length < chunk) return;
      from = `(${last[0]}`;
    }
  }

  async #ask<T>(reply: Promise<T>): Promise<T> {
    try {
      return await withDeadline(reply, commandMs, () => new Error('no answer in time'));
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      throw new Fault('unavailable', `Journeys cannot be read: ${reason}`, { cause: error });
    }
  }
}

/** What one search has learned: ids that belong together, and their entries. */
class Search {
  readonly #wanted: string;
  readonly #cids: Set<string>;
  readonly #msgIds: Set<string>;
  readonly #found = new Map<string, KeptStep[]>();
  readonly #drops = new Map<string, number>();

  constructor(id: string) {
    this.#wanted = id;
    this.#cids = new Set([id]);
    this.#msgIds = new Set([id]);
  }

  get size(): number {
    return this.#cids.size + this.#msgIds.size + this.#found.size;
  }

  look(entries: readonly Entry[]): void {
    for (const [id, fields] of entries) {
      if (fields[0] === 'dropped') this.#drops.set(id, Number(fields[1]));
      else if (!this.#found.has(id) && this.#found.size < mostFound) this.#take(id, fields);
    }
  }

  #take(id: string, fields: readonly string[]): void {
    const [, cid = '', , msgs = '', , text = '[]', , place] = fields;
    const msgIds = msgs === '' ? [] : msgs.split(' ');
    if (!this.#cids.has(cid) && !msgIds.some((msgId) => this.#msgIds.has(msgId))) return;
    if (cid !== '') this.#cids.add(cid);
    for (const msgId of msgIds) this.#msgIds.add(msgId);
    this.#found.set(id, stepsOf(text, cid, place));
  }

  result(): FoundJourney | undefined {
    const all = [...this.#found.values()].flat().sort(asItWent);
    const [first] = all;
    if (first === undefined) return undefined;
    const until = Math.max(...[...this.#found.keys()].map(timeOf));
    let dropped = 0;
    for (const [id, count] of this.#drops) {
      if (timeOf(id) >= first.at && timeOf(id) <= until + 1_000) dropped += count;
    }
    const cids = all.map(({ cid }) => cid).filter((cid) => cid !== '');
    return {
      cid: cids.includes(this.#wanted) ? this.#wanted : (cids[0] ?? ''),
      steps: all.slice(0, mostSteps),
      cut: all.length > mostSteps || this.#found.size >= mostFound,
      dropped,
    };
  }
}

/** Each of these may hold those after it. */
const holders: readonly StepKind[] = ['channel', 'attempt', 'delivered', 'invoke'];

/** Of what began in the same millisecond, the longer holds the shorter. */
function asItWent(one: KeptStep, other: KeptStep): number {
  return one.at - other.at || (other.ms ?? -1) - (one.ms ?? -1) || placeOf(one) - placeOf(other);
}

/** A moment holds nothing. */
function placeOf({ kind, ms }: KeptStep): number {
  const place = ms === undefined ? -1 : holders.indexOf(kind);
  return place < 0 ? holders.length : place;
}

/** Another version may have written it: what does not read is left out. */
function stepsOf(text: string, cid: string, place: string | undefined): KeptStep[] {
  try {
    const steps = JSON.parse(text) as readonly Omit<KeptStep, 'cid'>[];
    return steps.map((step) => ({ cid, ...step, ...(place === undefined ? {} : { place }) }));
  } catch {
    return [];
  }
}

function timeOf(id: string): number {
  return Number(id.split('-')[0]);
}

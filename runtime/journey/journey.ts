import type { Redis } from 'ioredis';
import { withDeadline } from '../core/deadline.ts';
import { RecentCids } from './recent-cids.ts';
import { isTrouble, type KeptStep, type Step, type StepFacts, shortStep } from './step.ts';

export interface JourneyOptions {
  /** Commands that end within seconds: role 'command'. */
  readonly redis: Redis;
  /** Default 'hence'. */
  readonly namespace?: string;
  /** How many steps Redis keeps, about; default 20,000. */
  readonly keep?: number;
  /** How many steps this process stores in a second, at most; default 500. */
  readonly perSecond?: number;
  /** Names the process in each of its steps. */
  readonly place?: string;
  /** Takes secrets out of texts; applied when steps are stored. */
  readonly redact?: (text: string) => string;
  /** Names of the subscriptions of a topic, asked when a publication is stored. */
  readonly subscriptionsOf?: (topic: string) => readonly string[];
}

interface NotedStep extends KeptStep {
  readonly number: number;
}

export const defaultKeep = 20_000;
const defaultPerSecond = 500;
const flushMs = 250;
/** An attempt to store ends then; the steps in it are given up. */
const storeMs = 3_000;
const followed = 10_000;
const mostNames = 10;

export function journeyKey(namespace = 'hence'): string {
  return `{${namespace}}:journey`;
}

/**
 * Notes what happens to correlation ids and messages, in memory, and stores it in Redis four times a
 * second. It never slows or fails its caller: what is too much is dropped and counted. Under load it
 * keeps some journeys whole rather than a part of each; failures go first.
 */
export class Journey {
  readonly #options: JourneyOptions;
  readonly #key: string;
  readonly #most: number;
  readonly #followed = new RecentCids(followed);
  #trouble: NotedStep[] = [];
  #usual: NotedStep[] = [];
  #noted = 0;
  #dropped = 0;
  #timer: NodeJS.Timeout | undefined;
  #storing: Promise<void> | undefined;
  #closed = false;

  constructor(options: JourneyOptions) {
    this.#options = options;
    this.#key = journeyKey(options.namespace);
    this.#most = options.perSecond ?? defaultPerSecond;
  }

  /** Takes a step; well under a microsecond. */
  note(step: Step): void {
    if (!this.#admit(step)) {
      this.#dropped++;
      return;
    }
    const kept = { ...step, at: step.at ?? Date.now(), number: this.#noted++ };
    if (isTrouble(step)) this.#trouble.push(kept);
    else this.#usual.push(kept);
    if (step.cid !== '') this.#followed.add(step.cid);
    this.#timer ??= setTimeout(this.#tick, flushMs);
  }

  /**
   * Whether something worth telling happened under this id in this process. Steps that say little
   * alone, such as a request, are noted at their end, and only if it did.
   */
  follows(cid: string): boolean {
    return this.#followed.has(cid);
  }

  /** Steps that were not stored and that nobody was told of yet. */
  get dropped(): number {
    return this.#dropped;
  }

  /** Stores what is noted. */
  async flush(): Promise<void> {
    await this.#storing;
    const steps = this.#next(Number.POSITIVE_INFINITY);
    if (steps.length > 0 || this.#dropped > 0) await this.#store(steps);
  }

  /** Stores what is noted, for a second at most; then it takes nothing more. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    clearTimeout(this.#timer);
    await withDeadline(this.flush(), 1_000, () => new Error('late')).catch(() => {});
  }

  #admit(step: Step): boolean {
    if (this.#closed) return false;
    if (isTrouble(step)) return this.#trouble.length < this.#most;
    if (this.#usual.length < this.#most / 2) return true;
    return this.#usual.length < this.#most && this.#followed.has(step.cid);
  }

  readonly #tick = (): void => {
    this.#timer = undefined;
    // A slow Redis: what comes meanwhile waits, as far as there is room.
    if (this.#storing === undefined) {
      const share = Math.max(1, Math.round((this.#most * flushMs) / 1_000));
      this.#storing = this.#store(this.#next(share)).finally(() => {
        this.#storing = undefined;
      });
    }
    const waiting = this.#trouble.length + this.#usual.length > 0;
    if (waiting && !this.#closed) this.#timer = setTimeout(this.#tick, flushMs);
  };

  #next(most: number): readonly KeptStep[] {
    const trouble = this.#trouble.splice(0, most);
    const steps = [...trouble, ...this.#usual.splice(0, most - trouble.length)];
    // Within a millisecond this is their order.
    return steps.sort((one, other) => one.number - other.number);
  }

  async #store(steps: readonly KeptStep[]): Promise<void> {
    const dropped = this.#dropped;
    try {
      const pipeline = this.#options.redis.pipeline();
      const trim = ['MAXLEN', '~', this.#options.keep ?? defaultKeep] as const;
      for (const [ids, group] of grouped(steps.map((step) => this.#short(step)))) {
        pipeline.xadd(this.#key, ...trim, '*', ...this.#entry(ids, group));
      }
      if (dropped > 0) {
        pipeline.xadd(this.#key, ...trim, '*', 'dropped', dropped, 'at', Date.now());
      }
      const replies = await withDeadline(pipeline.exec(), storeMs, () => new Error('late'));
      const failed = (replies ?? []).find(([error]) => error !== null);
      if (failed?.[0]) throw failed[0];
      this.#dropped -= dropped;
    } catch {
      // Redis is away, or full: nobody waits for a journey.
      this.#dropped += steps.length;
    }
  }

  #short(step: KeptStep): KeptStep {
    const { redact, subscriptionsOf } = this.#options;
    const { facts, kind } = step;
    const named =
      kind === 'publish' && facts.topic !== undefined && (facts.queues ?? 0) > 0
        ? withNames(facts, subscriptionsOf?.(facts.topic) ?? [])
        : facts;
    return shortStep({ ...step, facts: named }, redact ?? ((text) => text));
  }

  #entry(ids: Ids, steps: readonly KeptStep[]): string[] {
    const { place } = this.#options;
    const text = JSON.stringify(steps.map(({ cid: _cid, ...step }) => step));
    return [
      ...['cid', ids.cid, 'msgs', [...ids.msgIds].join(' '), 'steps', text],
      ...(place === undefined ? [] : ['place', place]),
    ];
  }
}

function withNames(facts: StepFacts, names: readonly string[]): StepFacts {
  if (names.length === 0) return facts;
  const more = names.length > mostNames ? `, and ${names.length - mostNames} more` : '';
  return { ...facts, subscriptions: `${names.slice(0, mostNames).join(', ')}${more}` };
}

interface Ids {
  readonly cid: string;
  readonly msgIds: Set<string>;
}

/** One entry holds what was noted of one journey, so that it is cheap to find. */
function grouped(steps: readonly KeptStep[]): ReadonlyMap<Ids, readonly KeptStep[]> {
  const byKey = new Map<string, [Ids, KeptStep[]]>();
  for (const step of steps) {
    const { cid, facts } = step;
    const key = cid === '' ? `message ${facts.msgId ?? ''}` : cid;
    const group = byKey.get(key) ?? [{ cid, msgIds: new Set<string>() }, []];
    byKey.set(key, group);
    group[1].push(step);
    if (facts.msgId !== undefined) group[0].msgIds.add(facts.msgId);
  }
  return new Map(byKey.values());
}

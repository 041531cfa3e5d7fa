import type { Limits } from './limits.ts';
import { publishScript } from './lua/publish.ts';
import type { RedisStore } from './redis-store.ts';
import type { Route, RouteState } from './routes.ts';

/** A publication as the script takes it. */
export interface Parcel {
  readonly topic: string;
  /** The topic again, or "" when it is not counted. */
  readonly counted: string;
  readonly priority: number;
  readonly expirationMs: number;
  readonly meta: string;
  readonly data: string | Buffer;
  /** Of the data. */
  readonly bytes: number;
  /** Idempotency key and data hash, or "". */
  readonly key: string;
}

/** What became of one: its outcome's name, and what the script says of it. */
export type Outcome = readonly unknown[];

interface Waiting {
  readonly parcel: Parcel;
  readonly resolve: (outcome: Outcome) => void;
  readonly reject: (error: unknown) => void;
}

export interface BatchOptions {
  readonly store: RedisStore;
  readonly limits: Limits;
  readonly salt: number;
  readonly routes: () => RouteState;
  readonly onWake: (subKeys: readonly string[]) => void;
}

/** One script at most so many: small enough that Redis works on one while the next is made. */
const mostParcels = 16;
/** While Redis has nothing to do for us it gets so many at once. */
const idleParcels = 8;
const mostBytes = 65_536;
/** Entries in queues that one script writes, but for a single publication's. */
const mostEntries = 256;

/** Sends what is published in one turn of the event loop in few scripts; each publication alone succeeds or fails. */
export class PublishBatches {
  readonly #options: BatchOptions;
  #waiting: Waiting[] = [];
  #scheduled = false;
  /** Scripts without an answer. */
  #underWay = 0;

  constructor(options: BatchOptions) {
    this.#options = options;
  }

  /** Resolves with its outcome; "wide" when it has more queues than one script should write. */
  add(parcel: Parcel): Promise<Outcome> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ parcel, resolve, reject });
      const most = this.#underWay === 0 ? idleParcels : mostParcels;
      if (this.#waiting.length >= most) this.#flush();
      else if (!this.#scheduled) {
        this.#scheduled = true;
        setImmediate(() => {
          this.#scheduled = false;
          this.#flush();
        });
      }
    });
  }

  #flush(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    if (waiting.length === 0) return;
    const { limits, routes } = this.#options;
    const state = routes();
    let batch = new Batch(state);
    for (const one of waiting) {
      const targets = state.routes.match(one.parcel.topic);
      if (targets.length > limits.chunk) {
        one.resolve(['wide']);
        continue;
      }
      if (!batch.hasRoom(one.parcel, targets)) {
        void this.#send(batch);
        batch = new Batch(state);
      }
      batch.put(one, targets);
    }
    void this.#send(batch);
  }

  async #send(batch: Batch): Promise<void> {
    const { waiting } = batch;
    if (waiting.length === 0) return;
    const { store, limits, salt, onWake } = this.#options;
    this.#underWay++;
    try {
      const args = batch.arguments(salt, limits);
      const [outcome, us, woken, ...rest] = await store.ask(publishScript, ...args);
      if (outcome === 'stale') {
        for (const { resolve } of waiting) resolve(['stale']);
        return;
      }
      const results = Number(woken);
      if (results > 0) onWake(rest.slice(0, results).map(String));
      for (const [n, { resolve }] of waiting.entries()) {
        resolve(outcomeOf(rest[results + n * 2], rest[results + n * 2 + 1], us));
      }
    } catch (error) {
      for (const { reject } of waiting) reject(error);
    } finally {
      this.#underWay--;
    }
  }
}

/** The arguments of one script, each queue and each kind of publication in them once. */
class Batch {
  readonly waiting: Waiting[] = [];
  readonly #state: RouteState;
  readonly #queues = new Map<string, number>();
  readonly #queueArguments: (string | number)[] = [];
  readonly #kinds = new Map<string, number>();
  readonly #kindArguments: (string | number)[] = [];
  readonly #arguments: (string | number | Buffer)[] = [];
  #bytes = 0;
  #entries = 0;

  constructor(state: RouteState) {
    this.#state = state;
  }

  hasRoom({ bytes }: Parcel, targets: readonly Route[]): boolean {
    return (
      this.waiting.length === 0 ||
      (this.waiting.length < mostParcels &&
        this.#bytes + bytes <= mostBytes &&
        this.#entries + targets.length <= mostEntries)
    );
  }

  put(one: Waiting, targets: readonly Route[]): void {
    const { meta, data, key, bytes } = one.parcel;
    this.waiting.push(one);
    this.#bytes += bytes;
    this.#entries += targets.length;
    this.#arguments.push(this.#kindOf(one.parcel, targets), meta, data, key);
  }

  arguments(salt: number, limits: Limits): (string | number | Buffer)[] {
    const { routes, subscriptions } = this.#state;
    return [
      ...[routes.revision, subscriptions, salt, limits.idempotencyWindow, limits.watermark],
      ...[this.#queues.size, ...this.#queueArguments],
      ...[this.#kinds.size, ...this.#kindArguments],
      ...[this.waiting.length, ...this.#arguments],
    ];
  }

  #kindOf({ topic, counted, priority, expirationMs }: Parcel, targets: readonly Route[]): number {
    const name = `${priority} ${expirationMs} ${counted === '' ? '-' : '+'} ${topic}`;
    const known = this.#kinds.get(name);
    if (known !== undefined) return known;
    const kind = this.#kinds.size + 1;
    this.#kinds.set(name, kind);
    const queues = targets.map((route) => this.#queueOf(route));
    this.#kindArguments.push(counted, priority, expirationMs, queues.length, ...queues);
    return kind;
  }

  #queueOf({ subKey, push, maxDepth, whenFull }: Route): number {
    const known = this.#queues.get(subKey);
    if (known !== undefined) return known;
    const queue = this.#queues.size + 1;
    this.#queues.set(subKey, queue);
    const full = whenFull === 'refuse' ? 'r' : 'd';
    this.#queueArguments.push(subKey, push ? 'p' : '', maxDepth, full);
    return queue;
  }
}

function outcomeOf(outcome: unknown, detail: unknown, us: unknown): Outcome {
  return typeof outcome === 'number' ? ['ok', outcome, us, detail] : [outcome, detail];
}

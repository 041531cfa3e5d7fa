import { createHash, randomInt, randomUUID } from 'node:crypto';
import { Fault } from '../core/fault.ts';
import { defaultExpirationMs, defaultPriority, type Limits } from './limits.ts';
import { acceptScript, crowdedScript, fanScript } from './lua/publish.ts';
import type { Publication, Published } from './message.ts';
import { givenIdRule, isGivenId, messageId } from './message-id.ts';
import { type Outcome, type Parcel, PublishBatches } from './publish-batches.ts';
import { encodeMeta } from './record.ts';
import type { RedisStore } from './redis-store.ts';
import type { Route, RouteState } from './routes.ts';

export interface PublisherOptions {
  readonly store: RedisStore;
  readonly limits: Limits;
  readonly routes: () => RouteState;
  /** Reads both again from Redis. */
  readonly refresh: () => Promise<void>;
  readonly onWake: (subKeys: readonly string[]) => void;
}

/** Publications that were refused for older routes are tried with newer ones, so often. */
const maxStale = 20;
const stageMs = 60_000;

/** Puts publications in the queues of every subscription, or of none. */
export class Publisher {
  readonly #store: RedisStore;
  readonly #limits: Limits;
  readonly #options: PublisherOptions;
  /** Makes the ids of two Redis, or of one that was emptied, differ. */
  readonly #salt = randomInt(65_536);
  readonly #batches: PublishBatches;

  constructor(options: PublisherOptions) {
    this.#options = options;
    this.#store = options.store;
    this.#limits = options.limits;
    this.#batches = new PublishBatches({ ...options, salt: this.#salt });
  }

  async publish(publication: Publication): Promise<Published> {
    const parcel = parcelOf(publication, this.#limits);
    for (let tries = 0; tries < maxStale; tries++) {
      const outcome = await this.#batches.add(parcel);
      const reply = outcome[0] === 'wide' ? await this.#fanOut(parcel) : outcome;
      if (reply[0] !== 'stale') return this.#outcome(reply, publication);
      await this.#options.refresh();
      if (tries > 0) await this.#refuseLoss();
    }
    throw new Fault('unavailable', 'The definitions change too fast to publish now', {
      retryAfterMs: 1_000,
    });
  }

  /** An emptied Redis knows no subscription: what is published there would reach nobody. */
  async #refuseLoss(): Promise<void> {
    const { routes } = this.#options.routes();
    const { redis, prefix } = this.#store;
    const revision = Number(await this.#store.within(redis.get(`${prefix}revision`)));
    // Read after ours, and lower.
    if (revision >= routes.revision) return;
    throw new Fault('unavailable', 'Redis has lost definitions: nothing is published', {
      details: { reason: 'definitions lost' },
      retryAfterMs: 5_000,
    });
  }

  /** Finishes the fan-outs whose process died; resolves with how many. */
  async resume(): Promise<number> {
    const key = `${this.#store.prefix}ps:fans`;
    const tokens = await this.#store.within(this.#store.redis.hkeys(key));
    for (const token of tokens) await this.#fill(token);
    return tokens.length;
  }

  #outcome(reply: Outcome, publication: Publication): Published {
    const [outcome, ...rest] = reply;
    switch (outcome) {
      case 'ok': {
        const [seq, us, queues] = rest;
        return published(seq, us, this.#salt, queues, false);
      }
      case 'duplicate': {
        const [seq, us, salt, queues] = String(rest[0]).split('|');
        return published(seq, us, salt, queues, true);
      }
      case 'conflict':
        throw new Fault(
          'conflict',
          `The idempotency key ${publication.idempotencyKey} was used for other data`,
        );
      case 'crowded':
        throw new Fault('too-many', `A queue of topic ${publication.topic} is full`, {
          details: { reason: 'queue full', subKey: rest[0] },
          retryAfterMs: 5_000,
        });
      case 'full':
        throw new Fault(
          'unavailable',
          'Redis is nearly full: publishing waits until messages are consumed',
          {
            details: { reason: 'storage watermark' },
            retryAfterMs: 5_000,
          },
        );
      default:
        throw new Fault('unavailable', 'The fan-out took too long to prepare', {
          retryAfterMs: 1_000,
        });
    }
  }

  async #fanOut(parcel: Parcel): Promise<Outcome> {
    const { routes, subscriptions } = this.#options.routes();
    const targets = routes.match(parcel.topic);
    const full = await this.#crowded(targets);
    const refusing = targets.find(
      ({ subKey, whenFull }) => whenFull === 'refuse' && full.has(subKey),
    );
    if (refusing) return ['crowded', refusing.subKey];
    const into = targets.filter(({ subKey }) => !full.has(subKey));
    const token = randomUUID();
    await this.#stage(token, into);
    const reply = await this.#store.ask(
      acceptScript,
      ...[routes.revision, subscriptions, this.#salt],
      ...[this.#limits.idempotencyWindow, this.#limits.watermark],
      ...[parcel.counted, parcel.priority, parcel.expirationMs],
      ...[parcel.meta, parcel.data, parcel.key],
      ...[token, into.length],
    );
    if (reply[0] !== 'ok') {
      await this.#store.within(this.#store.redis.del(`${this.#store.prefix}ps:fan:${token}`));
      return reply;
    }
    // Accepted, it is done by whoever comes: a failure from here on is finished by `resume`.
    await this.#fill(token);
    return reply;
  }

  async #crowded(targets: readonly Route[]): Promise<ReadonlySet<string>> {
    const full = new Set<string>();
    for (const part of chunks(targets, 500)) {
      const args = part.flatMap(({ subKey, maxDepth }) => [subKey, maxDepth]);
      for (const subKey of await this.#store.ask(crowdedScript, ...args)) full.add(String(subKey));
    }
    return full;
  }

  async #stage(token: string, targets: readonly Route[]): Promise<void> {
    const key = `${this.#store.prefix}ps:fan:${token}`;
    const pipeline = this.#store.redis.pipeline();
    for (const part of chunks(targets, 500)) {
      pipeline.rpush(key, ...part.map(({ subKey }) => subKey));
      pipeline.pexpire(key, stageMs);
    }
    const replies = await this.#store.within(pipeline.exec());
    const failed = replies?.find(([error]) => error)?.[0];
    if (failed) await this.#store.within(Promise.reject(failed));
  }

  async #fill(token: string): Promise<void> {
    const key = `${this.#store.prefix}ps:fan:${token}`;
    let before = -1;
    for (let tries = 0; tries < maxStale; ) {
      const [head, left] = await this.#store.within(
        Promise.all([
          this.#store.redis.lrange(key, 0, this.#limits.chunk - 1),
          this.#store.redis.llen(key),
        ]),
      );
      if (head.length === 0) return;
      const { routes, subscriptions } = this.#options.routes();
      const into = head.flatMap((subKey) => {
        const route = routes.get(subKey);
        return route ? [subKey, route.push ? 'p' : ''] : [];
      });
      const args = [routes.revision, subscriptions, token, left, head.length, ...into];
      const [outcome, , ...woken] = await this.#store.ask(fanScript, ...args);
      if (outcome === 'stale') await this.#options.refresh();
      // Another process may work on it too: no try is lost while it gets shorter.
      if (outcome !== 'ok' && left === before) tries++;
      before = left;
      if (woken.length > 0) this.#options.onWake(woken.map(String));
    }
    throw new Fault('unavailable', 'The definitions change too fast to publish now', {
      details: { outcome: 'unknown' },
      retryAfterMs: 1_000,
    });
  }
}

function published(
  seq: unknown,
  us: unknown,
  salt: unknown,
  queues: unknown,
  duplicate: boolean,
): Published {
  const receivedUs = Number(us);
  return {
    msgId: messageId({ receivedUs, salt: Number(salt), seq: Number(seq) }),
    queues: Number(queues),
    duplicate,
    receivedAt: Math.floor(receivedUs / 1_000),
  };
}

/** @throws Fault for what is not taken. */
function parcelOf(publication: Publication, limits: Limits): Parcel {
  const { data, topic, priority = defaultPriority, idempotencyKey, publisher = '' } = publication;
  const expirationMs = publication.expirationMs ?? defaultExpirationMs;
  const bytes = typeof data === 'string' ? Buffer.byteLength(data) : data.length;
  check(publication, bytes, limits);
  return {
    topic,
    counted: publication.counted === false ? '' : topic,
    priority,
    expirationMs,
    meta: encodeMeta(publication, expirationMs),
    data,
    bytes,
    key:
      idempotencyKey === undefined
        ? ''
        : hash(`${publisher}\0${topic}\0${idempotencyKey}`) + hash(data),
  };
}

function check(publication: Publication, bytes: number, limits: Limits): void {
  const { priority, expirationMs, hops = 0, maxSize = limits.maxSize } = publication;
  if (publication.topic === '') throw new Fault('bad-request', 'A message needs a topic');
  const most = Math.min(maxSize, limits.maxSize);
  if (bytes > most) {
    throw new Fault('too-large', `The message has ${bytes} bytes; at most ${most} are taken`);
  }
  if (priority !== undefined && !(Number.isInteger(priority) && priority >= 0 && priority <= 9)) {
    throw new Fault('bad-request', `Priority is ${priority}; it must be a whole number, 0 to 9`);
  }
  if (expirationMs !== undefined && !(Number.isSafeInteger(expirationMs) && expirationMs > 0)) {
    throw new Fault(
      'bad-request',
      `Expiration is ${expirationMs} ms; it must be a whole number above 0`,
    );
  }
  const { givenId } = publication;
  if (givenId !== undefined && !isGivenId(givenId)) {
    throw new Fault('bad-request', `A message's own id is ${givenIdRule}`);
  }
  if (hops > limits.maxHops) {
    throw new Fault(
      'bad-request',
      `Message ${publication.topic} comes after ${hops} others in a row; at most ${limits.maxHops} may: is it a loop?`,
    );
  }
}

function hash(data: string | Buffer): string {
  return createHash('sha256').update(data).digest('base64url').slice(0, 27);
}

function chunks<T>(items: readonly T[], size: number): readonly (readonly T[])[] {
  return Array.from({ length: Math.ceil(items.length / size) }, (_, n) =>
    items.slice(n * size, (n + 1) * size),
  );
}

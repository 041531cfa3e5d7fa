import { parseDuration } from '../core/duration.ts';
import { Fault } from '../core/fault.ts';
import type { Logger } from '../log/logger.ts';
import type { Delivery, Depth, MessageState } from '../pubsub/message.ts';
import type { Page } from './api.ts';
import type {
  PurgeRequest,
  QueuedView,
  QueueView,
  RedriveReply,
  RedriveRequest,
  TakeRequest,
} from './message-api.ts';
import { iso, queuedView, takenMessage } from './message-views.ts';
import { limitOf, pageByName } from './page.ts';
import type {
  BrokerPort,
  BrowseQuery,
  QueueQuery,
  QueuesPort,
  RedrivePort,
  Taken,
} from './ports.ts';
import { type QueueOwner, QueueOwners, type QueueSources } from './queue-owners.ts';

export interface QueueDeskOptions extends QueueSources {
  readonly broker: BrokerPort;
  readonly redrive: RedrivePort;
  readonly log: Logger;
}

const messageStates: readonly MessageState[] = ['waiting', 'leased', 'delayed', 'dead'];

const browsePage = 500;
/** A search for a topic looks at so many messages, then its page ends. */
const mostLooked = 10_000;
const maxWaitMs = 10 * 60_000;

/** What an administrator sees and does in queues. */
export class QueueDesk implements QueuesPort {
  readonly #options: QueueDeskOptions;
  readonly #owners: QueueOwners;

  constructor(options: QueueDeskOptions) {
    this.#options = options;
    this.#owners = new QueueOwners(options);
  }

  async list(query: QueueQuery): Promise<Page<QueueView>> {
    const { items, ...page } = pageByName(this.#owners.list(query.topic), query);
    const depths = await this.#options.broker.depth(items.map(({ subKey }) => subKey));
    return { items: items.map((owner, at) => viewOf(owner, depths[at])), ...page };
  }

  async show(subscription: string): Promise<QueueView> {
    const owner = this.#owners.get(subscription);
    const [depth] = await this.#options.broker.depth([owner.subKey]);
    return viewOf(owner, depth);
  }

  async messages(subscription: string, query: BrowseQuery): Promise<Page<QueuedView>> {
    const { subKey } = this.#owners.get(subscription);
    const { broker } = this.#options;
    const limit = limitOf(query.limit);
    const states = query.state === undefined ? messageStates : [query.state];
    const place = placeOf(query.after, states);
    const items: QueuedView[] = [];
    let looked = 0;
    while (place.at < states.length && items.length < limit && looked < mostLooked) {
      const state = states[place.at] ?? 'dead';
      const size = Math.min(limit - items.length, browsePage);
      const page = await broker.browse(subKey, { state, from: place.from, limit: size });
      const fitting = page.items.filter(
        ({ message }) => query.topic === undefined || message.topic === query.topic.toLowerCase(),
      );
      items.push(...fitting.map(queuedView));
      looked += size;
      place.from += size;
      if (place.from >= page.total) {
        place.at++;
        place.from = 0;
      }
    }
    const next = states[place.at];
    return {
      items,
      total: await this.#total(subKey, query.state),
      ...(next === undefined ? {} : { after: `${next}:${place.from}` }),
    };
  }

  async take(subscription: string, request: TakeRequest, signal: AbortSignal): Promise<Taken> {
    const { subKey, lease, maxDeliveries, maxInflight } = this.#owners.get(subscription);
    const waitMs = request.wait === undefined ? 0 : parseDuration(request.wait);
    if (waitMs > maxWaitMs) throw new Fault('bad-request', 'wait is longer than 10m');
    const deliveries = await this.#options.broker.take(subKey, {
      signal,
      waitMs,
      ...(request.max === undefined ? {} : { max: request.max }),
      ...(request.maxBytes === undefined ? {} : { maxBytes: request.maxBytes }),
      ...(lease === undefined ? {} : { leaseMs: parseDuration(lease) }),
      ...(maxDeliveries === undefined ? {} : { maxDeliveries }),
      ...(maxInflight === undefined ? {} : { maxInflight }),
    });
    if (request.ack === false) await this.#giveBack(subKey, deliveries);
    const taken = request.ack === false ? [] : deliveries;
    return {
      messages: deliveries.map(takenMessage),
      settle: (written) => this.#settle(subKey, taken, written),
    };
  }

  async remove(subscription: string, msgId: string): Promise<void> {
    const { subKey, name } = this.#owners.get(subscription);
    if (await this.#options.broker.remove(subKey, msgId)) return;
    throw new Fault('not-found', `Subscription ${name} has no message ${msgId}`);
  }

  async purge(subscription: string, { state, olderThan }: PurgeRequest): Promise<number> {
    const { subKey } = this.#owners.get(subscription);
    const older = olderThan === undefined ? {} : { olderThanMs: parseDuration(olderThan) };
    return await this.#options.broker.purge(subKey, { state, ...older });
  }

  async redrive(
    subscription: string,
    request: RedriveRequest,
    signal: AbortSignal,
  ): Promise<RedriveReply> {
    const { subKey } = this.#owners.get(subscription);
    const { rate, trial = false } = request;
    const msgIds = await this.#letters(subKey, request);
    const outcome = await this.#options.redrive.run(subKey, {
      trial,
      signal,
      ...(rate === undefined ? {} : { perSecond: rate }),
      ...(msgIds === undefined ? {} : { msgIds }),
    });
    return { ...outcome, dead: await this.#total(subKey, 'dead') };
  }

  /** Undefined: all that are dead. */
  async #letters(
    subKey: string,
    { msgIds, max }: RedriveRequest,
  ): Promise<readonly string[] | undefined> {
    if (max === undefined || msgIds !== undefined) return msgIds?.slice(0, max);
    const found: string[] = [];
    for (let from = 0; found.length < max; from += browsePage) {
      const query = { state: 'dead', from, limit: browsePage } as const;
      const { items, total } = await this.#options.broker.browse(subKey, query);
      found.push(...items.map(({ message }) => message.msgId));
      if (from + browsePage >= total) break;
    }
    return found.slice(0, max);
  }

  async #total(subKey: string, state: MessageState | undefined): Promise<number> {
    const [depth] = await this.#options.broker.depth([subKey]);
    const states = state === undefined ? messageStates : [state];
    return states.reduce((sum, one) => sum + (depth?.[one] ?? 0), 0);
  }

  /** Never rejects: the reply is written, or nobody reads it. */
  async #settle(subKey: string, taken: readonly Delivery[], written: boolean): Promise<void> {
    if (taken.length === 0) return;
    try {
      if (written) await this.#options.broker.ack(subKey, taken);
      else await this.#giveBack(subKey, taken);
    } catch (error) {
      const facts = { subKey, messages: taken.length, error };
      this.#options.log.warn('taken messages come again when their lease ends', facts);
    }
  }

  async #giveBack(subKey: string, taken: readonly Delivery[]): Promise<void> {
    const rejections = taken.map((delivery) => ({ ...delivery, countFailure: false }));
    await this.#options.broker.reject(subKey, rejections);
  }
}

function viewOf(owner: QueueOwner, depth: Depth | undefined): QueueView {
  const { name, subKey, topics, delivery, enabled, paused } = owner;
  const { oldestAt, ...counts } = depth ?? { waiting: 0, leased: 0, delayed: 0, dead: 0 };
  return {
    ...{ subscription: name, subKey, topics, delivery, enabled, paused },
    ...counts,
    ...(oldestAt === undefined ? {} : { oldestAt: iso(oldestAt) }),
  };
}

/** `dead:500`: where the next page begins. */
function placeOf(
  after: string | undefined,
  states: readonly MessageState[],
): { at: number; from: number } {
  if (after === undefined) return { at: 0, from: 0 };
  const [, state, from] = /^([a-z]+):(\d{1,9})$/.exec(after) ?? [];
  const at = (states as readonly unknown[]).indexOf(state);
  if (at >= 0) return { at, from: Number(from) };
  throw new Fault('bad-request', `"after" is not a place in this list: ${after}`);
}

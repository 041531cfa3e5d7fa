import { Fault } from '../core/fault.ts';
import type { Broker } from './broker.ts';
import type { EndpointBroker, EndpointPublication } from './endpoint-broker.ts';
import type { Delivery, QueuedMessage } from './message.ts';
import { zato3Id } from './message-id.ts';
import type { SubscriptionRoute } from './route-table.ts';
import { takeAll } from './taking.ts';
import { normaliseTopic } from './topic-name.ts';
import { compilePattern } from './topic-pattern.ts';
import {
  type PlacedMessage,
  textOf,
  type Zato3Message,
  type Zato3MessageOptions,
  zato3Message,
} from './zato3-message.ts';
import { zato3Expiration, zato3Priority } from './zato3-terms.ts';

/** What a service publishes: the target is a topic's name or else a service's. */
export interface Zato3Publication extends Omit<EndpointPublication, 'topic'> {
  readonly target: string;
  readonly targetIsService: boolean;
  readonly contentType: string;
  readonly publisher: string;
  readonly hops: number;
  /** Default: the runtime itself. */
  readonly endpoint?: string;
}

interface ServiceQueues {
  has(service: string): boolean;
  publish(
    publication: Omit<Zato3Publication, 'endpoint' | 'expiration' | 'priority'> & {
      readonly correlId: string;
      readonly priority: number;
      readonly expirationMs: number;
    },
  ): Promise<{ readonly msgId: string }>;
}

export interface Zato3PubSubOptions {
  readonly broker: Pick<Broker, 'take' | 'ack' | 'browse' | 'find' | 'remove'>;
  readonly endpoints: EndpointBroker;
  readonly services: ServiceQueues;
  /** @throws Fault `conflict` when there is such a topic. */
  readonly createTopic: (name: string, spec: { readonly enabled: boolean }) => Promise<void>;
  /** What messages say of where they were handed out. */
  readonly serverName: string;
}

export interface ReadOptions {
  /** Default 1, of 50 messages. */
  readonly curPage?: number | undefined;
  /** False: as many as there are, up to 1,000. */
  readonly paginate?: boolean | undefined;
  /** Text that the data holds. */
  readonly query?: string | undefined;
}

/** What one call may hold in memory; who wants more asks again. */
const allAtOnce = { max: 10_000, maxBytes: 64 * 1_048_576 };
const pageSize = 50;
const maxPage = 1_000;
/** Messages that a query looks at. */
const maxLookedAt = 10_000;

/** `pubsub` of services as Zato 3.x has it: queues by their keys, without asking who reads them. */
export class Zato3PubSub {
  readonly #options: Zato3PubSubOptions;

  constructor(options: Zato3PubSubOptions) {
    this.#options = options;
  }

  knows(target: string): boolean {
    const { endpoints, services } = this.#options;
    return endpoints.hasTopic(target) || services.has(target);
  }

  /** Resolves with the message's id. @throws Fault as {@link EndpointBroker.publish}. */
  async publish({ endpoint, ...publication }: Zato3Publication): Promise<string> {
    const { endpoints, services } = this.#options;
    const { target, targetIsService, ...message } = publication;
    const isTopic = !targetIsService && endpoints.hasTopic(target);
    if (!isTopic && (targetIsService || services.has(target))) {
      endpoints.permit('publish', `/zato/s/to/${target}`, endpoint);
      const { expiration, ...rest } = publication;
      const { msgId } = await services.publish({
        ...rest,
        targetIsService: true,
        correlId: message.correlId ?? message.cid,
        priority: zato3Priority(message.priority, {}),
        expirationMs: zato3Expiration(expiration, {}),
      });
      return zato3Id(msgId);
    }
    return zato3Id((await endpoints.publish({ ...message, topic: target }, endpoint)).msgId);
  }

  /** Resolves with the key of the endpoint's queue for this topic. */
  async subscribe(topic: string, endpoint: string): Promise<string> {
    return (await this.#options.endpoints.subscribe(topic, endpoint)).subKey;
  }

  /** Takes out of the queue what waits in it, newest first: up to 10,000 messages or 64 MB. */
  async getMessages(
    topic: string,
    subKey: string,
    options: Omit<Zato3MessageOptions, 'serverName'>,
  ): Promise<readonly Zato3Message[]> {
    const { broker } = this.#options;
    const queue = await this.#queue(subKey, topic);
    const taken = await takeAll(broker, queue, { ...allAtOnce, topic: normaliseTopic(topic) });
    const held = await broker.ack(subKey, taken);
    return taken
      .filter((_, at) => held[at])
      .sort((one, other) => other.message.seq - one.message.seq)
      .map((delivery) => this.#view(before(delivery), options));
  }

  /** A page of what waits, in the order of delivery; it stays there. */
  async readMessages(
    topic: string,
    subKey: string,
    { curPage = 1, paginate = true, query = '' }: ReadOptions,
  ): Promise<readonly Zato3Message[]> {
    if (!(Number.isSafeInteger(curPage) && curPage >= 1)) {
      throw new Fault('bad-request', `Page ${curPage} was asked for; pages count from 1`);
    }
    const queue = await this.#queue(subKey, topic);
    const size = paginate ? pageSize : maxPage;
    const from = paginate ? (curPage - 1) * size : 0;
    const name = normaliseTopic(topic);
    const isWanted = ({ message }: QueuedMessage) =>
      message.topic === name && (query === '' || textOf(message).includes(query));
    const found =
      query === '' && isOnly(queue, name)
        ? (await this.#options.broker.browse(subKey, { state: 'waiting', from, limit: size })).items
        : (await this.#search(subKey, isWanted, from + size)).slice(from);
    return found.map((queued) => this.#view(queued, { needsMsgId: true, needsDetails: true }));
  }

  /** One message with all its details; it stays where it is. @throws Fault `not-found` */
  async readMessage(topic: string, msgId: string, subKey?: string): Promise<Zato3Message> {
    const name = normaliseTopic(topic);
    const queued = await this.#find(msgId, subKey);
    if (queued.message.topic !== name) throw noMessage(msgId);
    return this.#view(queued, { needsMsgId: true, needsDetails: true });
  }

  /** @throws Fault `not-found`; `conflict` while it is being delivered. */
  async deleteMessage(subKey: string, msgId: string): Promise<void> {
    const { message } = await this.#find(msgId, subKey);
    const removed = await this.#options.broker.remove(subKey, message.msgId);
    if (!removed) throw noMessage(msgId);
  }

  createTopic(name: string, spec: { readonly enabled: boolean }): Promise<void> {
    return this.#options.createTopic(name, spec);
  }

  /** @throws Fault `not-found`; `bad-request` for a queue that never gets this topic. */
  async #queue(subKey: string, topic: string): Promise<SubscriptionRoute> {
    const queue = await this.#options.endpoints.find(subKey);
    if (!queue) throw new Fault('not-found', `No such sub_key \`${subKey}\``);
    const name = normaliseTopic(topic);
    if (queue.topics.some((one) => compilePattern(one).matches(name))) return queue;
    throw new Fault('bad-request', `sub_key \`${subKey}\` is not subscribed to topic \`${topic}\``);
  }

  async #find(msgId: string, subKey: string | undefined): Promise<QueuedMessage> {
    const queues = await this.#options.broker.find(msgId);
    const queued = queues.find((one) => subKey === undefined || one.subKey === subKey);
    if (queued) return queued;
    throw noMessage(msgId);
  }

  async #search(
    subKey: string,
    isWanted: (queued: QueuedMessage) => boolean,
    enough: number,
  ): Promise<readonly QueuedMessage[]> {
    const found: QueuedMessage[] = [];
    for (let from = 0; from < maxLookedAt && found.length < enough; from += maxPage) {
      const page = { state: 'waiting', from, limit: maxPage } as const;
      const { items, total } = await this.#options.broker.browse(subKey, page);
      found.push(...items.filter(isWanted));
      if (from + maxPage >= total) break;
    }
    return found.slice(0, enough);
  }

  #view(placed: PlacedMessage, options: Omit<Zato3MessageOptions, 'serverName'>): Zato3Message {
    return zato3Message(placed, { ...options, serverName: this.#options.serverName });
  }
}

/** Zato 3.0 does not count the delivery that is going on. */
function before(delivery: Delivery): PlacedMessage {
  return { ...delivery, deliveries: delivery.deliveries - 1 };
}

function isOnly({ topics }: SubscriptionRoute, topic: string): boolean {
  return topics.length === 1 && topics[0] === topic;
}

function noMessage(msgId: string): Fault {
  return new Fault('not-found', `No such message \`${msgId}\``);
}

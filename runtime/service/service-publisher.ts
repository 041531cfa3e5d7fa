import { Fault } from '../core/fault.ts';
import type { PublishResult, ServicePublication } from './publication.ts';

/** What is used of the broker. */
interface PublicationBroker {
  publish(publication: BrokerPublication): Promise<PublishResult>;
  /** Those that programs made; another list whenever one came or went. */
  subscriptions(): readonly { readonly subKey: string }[];
  subscribe(subscription: {
    readonly subKey: string;
    readonly topics: readonly string[];
    readonly facts: Readonly<Record<string, string>>;
    readonly push: boolean;
  }): Promise<void>;
}

type BrokerPublication = Omit<ServicePublication, 'target' | 'targetIsService'> & TopicSettings;

/** A topic's name as it is stored, and its own defaults and limits. */
interface TopicSettings {
  readonly topic: string;
  readonly priority?: number;
  readonly expirationMs?: number;
  /** In bytes. */
  readonly maxSize?: number;
  /** False for a topic that is not defined: it has no counters. */
  readonly counted?: boolean;
}

export interface ServicePublisherOptions {
  readonly broker: PublicationBroker;
  readonly isService: (name: string) => boolean;
  /** Whether a topic of this name is defined, in any case. */
  readonly isTopic: (name: string) => boolean;
  /** @throws Fault `bad-request` for what cannot name a topic. */
  readonly topic: (name: string) => TopicSettings;
}

/**
 * Publishes what services publish: to a topic, without asking for a permission or for the topic to be
 * defined (Zato 4.x), or to a service through a queue of its own, made at the first publication.
 */
export class ServicePublisher {
  readonly #options: ServicePublisherOptions;
  readonly #making = new Map<string, Promise<void>>();
  #read: ReturnType<PublicationBroker['subscriptions']> | undefined;
  /** Of those that were read last. */
  #subKeys: ReadonlySet<string> = new Set();

  constructor(options: ServicePublisherOptions) {
    this.#options = options;
  }

  async publish(publication: ServicePublication): Promise<PublishResult> {
    const { target, targetIsService } = publication;
    const { broker, topic } = this.#options;
    if (!this.#means(target, targetIsService)) {
      return broker.publish(messageOf(publication, topic(target)));
    }
    await this.#haveQueue(target);
    const message = messageOf(publication, { topic: serviceTopic(target), counted: false });
    const result = await broker.publish(message);
    if (result.queues > 0 || result.duplicate) return result;
    // Its queue went a moment ago, and this process had not heard: nothing was kept.
    await this.#makeQueue(target);
    return broker.publish(message);
  }

  /**
   * A topic that is defined comes before a service of the same name. A service that is not deployed just
   * now still is one while its queue exists.
   */
  #means(target: string, targetIsService: boolean): boolean {
    if (!targetIsService && this.#options.isTopic(target)) return false;
    if (this.#options.isService(target) || this.#hasQueue(target)) return true;
    if (targetIsService) throw new Fault('not-found', `No such service: ${target}`);
    return false;
  }

  #hasQueue(service: string): boolean {
    const subscriptions = this.#options.broker.subscriptions();
    if (subscriptions !== this.#read) {
      this.#read = subscriptions;
      this.#subKeys = new Set(subscriptions.map(({ subKey }) => subKey));
    }
    return this.#subKeys.has(serviceSubKey(service));
  }

  async #haveQueue(service: string): Promise<void> {
    if (this.#hasQueue(service)) return;
    const making = this.#making.get(service) ?? this.#makeQueue(service);
    this.#making.set(service, making);
    try {
      await making;
    } finally {
      this.#making.delete(service);
    }
  }

  #makeQueue(service: string): Promise<void> {
    return this.#options.broker.subscribe({
      subKey: serviceSubKey(service),
      topics: [serviceTopic(service)],
      facts: { service },
      push: true,
    });
  }
}

/** Property by property: spreading both would cost as much as all the rest of a publication. */
function messageOf(publication: ServicePublication, topic: TopicSettings): BrokerPublication {
  const { data, contentType, cid, correlId, publisher, hops } = publication;
  const given = { data, contentType, cid, correlId, publisher, hops };
  const message: Mutable<BrokerPublication> = { topic: topic.topic, ...given };
  const { priority = topic.priority, expirationMs = topic.expirationMs } = publication;
  const { dataClass, inReplyTo, extClientId, pubTime, idempotencyKey } = publication;
  const { maxSize, counted } = topic;
  if (priority !== undefined) message.priority = priority;
  if (expirationMs !== undefined) message.expirationMs = expirationMs;
  if (dataClass !== undefined) message.dataClass = dataClass;
  if (inReplyTo !== undefined) message.inReplyTo = inReplyTo;
  if (extClientId !== undefined) message.extClientId = extClientId;
  if (pubTime !== undefined) message.pubTime = pubTime;
  if (idempotencyKey !== undefined) message.idempotencyKey = idempotencyKey;
  if (maxSize !== undefined) message.maxSize = maxSize;
  if (counted !== undefined) message.counted = counted;
  return message;
}

type Mutable<T> = { -readonly [Key in keyof T]: T[Key] };

/** Topic of a service's own queue (Zato 4.x). It keeps the case: names of services differ by it. */
function serviceTopic(service: string): string {
  return `zato.s.to.${service}`;
}

/** subKey of a service's own queue (Zato 4.x). */
function serviceSubKey(service: string): string {
  return `zato.service.${service}`;
}

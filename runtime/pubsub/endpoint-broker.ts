import { createHash, randomBytes } from 'node:crypto';
import { Fault } from '../core/fault.ts';
import type { Broker } from './broker.ts';
import type { Endpoint, Endpoints } from './endpoints.ts';
import type { Publication, Published } from './message.ts';
import type { Operation } from './permissions.ts';
import type { RouteTable, SubscriptionRoute } from './route-table.ts';
import type { TopicRules } from './topic-definition.ts';
import { checkTopicName, normaliseTopic } from './topic-name.ts';
import { zato3Expiration, zato3Priority } from './zato3-terms.ts';

export interface EndpointBrokerOptions {
  readonly broker: Pick<
    Broker,
    'publish' | 'subscribe' | 'unsubscribe' | 'subscriptions' | 'depth' | 'refresh'
  >;
  readonly endpoints: Endpoints;
  /** By lower-case name; undefined when there is no such topic. */
  readonly topic: (name: string) => TopicRules | undefined;
  readonly routes: () => Pick<RouteTable, 'get'>;
}

/** A publication by the rules of Zato 3.x; priority and expiration are as they were given. */
export interface EndpointPublication
  extends Omit<Publication, 'priority' | 'expirationMs' | 'maxSize' | 'counted'> {
  /** 1-9. */
  readonly priority?: unknown;
  /** In seconds. */
  readonly expiration?: unknown;
}

export interface SubscribeOptions {
  /** Default: the one key that this endpoint has for this topic. */
  readonly subKey?: string;
  /** Kept with the subscription. */
  readonly facts?: Readonly<Record<string, string>>;
}

export interface Subscribed {
  readonly subKey: string;
  /** False when it was subscribed already. */
  readonly isNew: boolean;
  /** Messages that wait. */
  readonly depth: number;
}

/** What Zato 3.x says to everyone it lets nothing do, whatever the reason. */
const notAllowed = 'You are not allowed to access this resource';

/** Reason in the details of a Fault: the topic is not subscribed to. */
export const notSubscribed = 'not-subscribed';

/**
 * Topics and queues as the endpoints of Zato 3.x see them: who may, and one queue for each endpoint and
 * topic. Without an endpoint it is the runtime itself that acts, and may do all.
 */
export class EndpointBroker {
  readonly #options: EndpointBrokerOptions;

  constructor(options: EndpointBrokerOptions) {
    this.#options = options;
  }

  /**
   * @throws Fault `forbidden`; `not-found` for an unknown endpoint or topic; `unavailable` for a topic
   * that is not enabled; `bad-request` for priority and expiration; what the broker throws.
   */
  publish(publication: EndpointPublication, endpoint?: string): Promise<Published> {
    const { priority, expiration, ...message } = publication;
    const topic = topicOf(publication.topic);
    this.#permit('publish', topic, endpoint);
    const rules = this.#rulesOf(topic);
    if (!rules.enabled) throw new Fault('unavailable', `Topic is inactive \`${topic}\``);
    return this.#options.broker.publish({
      ...message,
      topic,
      priority: zato3Priority(priority, rules),
      expirationMs: zato3Expiration(expiration, rules),
      ...(rules.maxSize === undefined ? {} : { maxSize: rules.maxSize }),
    });
  }

  /** Whether the topic is defined: other names may be those of services. */
  hasTopic(name: string): boolean {
    return this.#options.topic(normaliseTopic(name)) !== undefined;
  }

  /** @throws Fault `forbidden`, `not-found` */
  permit(operation: Operation, topic: string, endpoint: string | undefined): void {
    this.#permit(operation, topicOf(topic), endpoint);
  }

  /** @throws Fault `forbidden`; `not-found` for an unknown endpoint or topic; what the broker throws. */
  async subscribe(
    topicName: string,
    endpoint: string,
    { subKey: given, facts = {} }: SubscribeOptions = {},
  ): Promise<Subscribed> {
    const { broker, routes } = this.#options;
    const topic = topicOf(topicName);
    const pattern = this.#permit('subscribe', topic, endpoint);
    this.#rulesOf(topic);
    const subKey = given ?? restKey(endpoint, topic);
    const isNew = routes().get(subKey) === undefined;
    // Even then: another process may have ended it, and this one has not heard yet.
    await broker.subscribe({
      subKey,
      topics: [topic],
      push: false,
      facts: { kind: 'rest', ...facts, endpoint, pattern },
    });
    const [depth] = await broker.depth([subKey]);
    return { subKey, isNew, depth: depth?.waiting ?? 0 };
  }

  /** Ends it and drops its queue; false when there was none. */
  unsubscribe(topic: string, endpoint: string): Promise<boolean> {
    return this.#options.broker.unsubscribe(restKey(endpoint, topicOf(topic)));
  }

  /**
   * The queue that an endpoint reads a topic from.
   * @throws Fault `forbidden`; `bad-request` when it is not subscribed.
   */
  async queueOf(topicName: string, endpoint: string): Promise<SubscriptionRoute> {
    const topic = topicOf(topicName);
    this.#permit('subscribe', topic, endpoint);
    const queue = await this.find(restKey(endpoint, topic));
    if (queue) return queue;
    throw new Fault('bad-request', `You are not subscribed to topic \`${topicName}\``, {
      details: { reason: notSubscribed },
    });
  }

  /** A subscription by its key, also one that another process has made just now. */
  async find(subKey: string): Promise<SubscriptionRoute | undefined> {
    const { broker, routes } = this.#options;
    const known = routes().get(subKey);
    if (known) return known;
    await broker.refresh();
    return routes().get(subKey);
  }

  /** Ends what endpoints subscribed to that are gone; resolves with the keys. */
  async dropOrphans(): Promise<readonly string[]> {
    const { broker, endpoints } = this.#options;
    const orphans = broker.subscriptions().flatMap(({ subKey, facts }) => {
      const { endpoint } = facts;
      return endpoint === undefined || endpoints.get(endpoint) ? [] : [subKey];
    });
    for (const subKey of orphans) await broker.unsubscribe(subKey);
    return orphans;
  }

  /** The pattern that lets it; '' for the runtime itself. */
  #permit(operation: Operation, topic: string, name: string | undefined): string {
    if (name === undefined) return '';
    const pattern = this.#endpoint(name).match(operation, topic);
    if (pattern === undefined) throw new Fault('forbidden', notAllowed);
    return pattern;
  }

  #endpoint(name: string): Endpoint {
    const endpoint = this.#options.endpoints.get(name);
    if (endpoint) return endpoint;
    throw new Fault('not-found', `No such endpoint \`${name}\``);
  }

  #rulesOf(topic: string): TopicRules {
    const rules = this.#options.topic(topic);
    if (rules) return rules;
    throw new Fault('not-found', `No such topic \`${topic}\``);
  }
}

/** A new key of Zato 3.x for one subscription, such as `zpsk.websockets.<24 hex>`. */
export function newSubKey(kind: 'rest' | 'websockets'): string {
  return `zpsk.${kind}.${randomBytes(12).toString('hex')}`;
}

/** Always the same: two that subscribe at once, on two workers, get one queue. */
function restKey(endpoint: string, topic: string): string {
  const hash = createHash('sha256').update(`${endpoint}\0${topic}`).digest('hex');
  return `zpsk.rest.${hash.slice(0, 24)}`;
}

function topicOf(name: string): string {
  checkTopicName(name);
  return normaliseTopic(name);
}

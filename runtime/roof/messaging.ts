import type { Redis } from 'ioredis';
import type { DefinitionStore } from '../config/store.ts';
import { background } from '../core/background.ts';
import { parseDuration } from '../core/duration.ts';
import type { DeliverySubscription } from '../delivery/subscription.ts';
import type { Logger } from '../log/logger.ts';
import { Broker } from '../pubsub/broker.ts';
import { Endpoints } from '../pubsub/endpoints.ts';
import { Permissions } from '../pubsub/permissions.ts';
import { RouteFeed } from '../pubsub/route-feed.ts';
import type { RouteTable, SubscriptionChange, SubscriptionRoute } from '../pubsub/route-table.ts';
import { defaultLease, type SubscriptionSpec } from '../pubsub/subscription-definition.ts';
import { namesNow } from '../pubsub/topic-definition.ts';
import type { DefinitionTypes } from './definition-types.ts';

export interface MessagingOptions {
  readonly store: DefinitionStore;
  readonly types: DefinitionTypes;
  readonly redis: Redis;
  readonly subscriber: () => Redis;
  readonly log: Logger;
  readonly onWake?: (subKeys: readonly string[]) => void;
}

/** How often what is due in the queues is looked for. */
const tendMs = 1_000;

/** The broker as this process's definitions have it: its routes, its permissions, its clock. */
export class Messaging {
  readonly broker: Broker;
  readonly #feed: RouteFeed;
  readonly permissions = new Permissions();
  readonly endpoints = new Endpoints();
  readonly #log: Logger;
  /** Of renamed topics. */
  #namesNow: ReadonlyMap<string, string> = new Map();
  #timer: NodeJS.Timeout | undefined;
  #tending = false;
  #down = false;

  /** The definitions must be loaded. */
  constructor(options: MessagingOptions) {
    const { store, types, log } = options;
    this.#log = log;
    const { subscription, permission, topic, endpoint } = types;
    const feed = new RouteFeed({
      revision: () => store.revision,
      refresh: () => store.refresh(),
    });
    this.#feed = feed;
    const permit = () => this.permissions.update(store.list(permission), store.list(subscription));
    const nameTopics = () => {
      this.#namesNow = namesNow(store.list(topic));
    };
    feed.load(store.list(subscription));
    this.endpoints.update(store.list(endpoint));
    permit();
    nameTopics();
    store.onChange((changes) => {
      const subscriptions = changes.filter(({ type }) => type === subscription.type);
      feed.change(subscriptions as readonly SubscriptionChange[]);
      if (subscriptions.length > 0 || changes.some(({ type }) => type === permission.type))
        permit();
      if (changes.some(({ type }) => type === topic.type)) nameTopics();
      if (changes.some(({ type }) => type === endpoint.type)) {
        this.endpoints.update(store.list(endpoint));
      }
    });
    this.broker = new Broker({
      redis: options.redis,
      subscriber: options.subscriber,
      source: feed,
      log,
      onWake: options.onWake ?? (() => {}),
      mayReceive: (subKey, name) => {
        const route = feed.routes.get(subKey);
        const security = route?.definition?.spec.security;
        if (security !== undefined && !this.#mayReceive(security, name)) return false;
        return this.endpoints.mayReceive(route?.facts, name);
      },
    });
  }

  /** What was queued before its topic was renamed is for those who may have it under the new name. */
  #mayReceive(security: string, topic: string): boolean {
    if (this.permissions.may(security, 'subscribe', topic)) return true;
    const name = this.#namesNow.get(topic);
    return name !== undefined && this.permissions.may(security, 'subscribe', name);
  }

  get routes(): RouteTable {
    return this.#feed.routes;
  }

  /** From now on what is due in the queues is done. */
  start(): void {
    background(this.broker.start(), (error) => {
      this.#log.debug('program-made subscriptions not read yet', { error });
    });
    this.#timer = setInterval(() => void this.#tend(), tendMs);
  }

  close(): void {
    clearInterval(this.#timer);
    this.broker.close();
  }

  async #tend(): Promise<void> {
    if (this.#tending) return;
    this.#tending = true;
    try {
      await this.broker.tend();
      this.#down = false;
    } catch (error) {
      if (!this.#down) this.#log.warn('queues are not looked after', { error });
      this.#down = true;
    } finally {
      this.#tending = false;
    }
  }
}

/** Turns a push subscription into what its delivery wants; undefined for one that is read. */
export function deliveries(types: DefinitionTypes) {
  const known = new WeakMap<SubscriptionRoute, DeliverySubscription | undefined>();
  return (route: SubscriptionRoute | undefined): DeliverySubscription | undefined => {
    if (!route?.push) return undefined;
    if (!known.has(route)) known.set(route, viewOf(types, route));
    return known.get(route);
  };
}

function viewOf(
  types: DefinitionTypes,
  route: SubscriptionRoute,
): DeliverySubscription | undefined {
  const { subKey, definition, facts } = route;
  if (definition) return deliveryOf(subKey, definition.name, definition.spec);
  const service = facts?.['service'];
  if (service === undefined) return undefined;
  // The queue of a service itself has the defaults of a subscription.
  return deliveryOf(subKey, service, types.subscription.schema.parse({ topics: ['*'], service }));
}

function deliveryOf(subKey: string, name: string, spec: SubscriptionSpec): DeliverySubscription {
  return {
    subKey,
    name,
    ...(spec.service === undefined ? {} : { service: spec.service }),
    ...(spec.outgoing === undefined ? {} : { outgoing: spec.outgoing }),
    ...(spec.format === undefined ? {} : { format: spec.format }),
    enabled: spec.enabled,
    paused: spec.paused,
    batch: spec.batch,
    concurrency: spec.concurrency,
    ordered: spec.ordered,
    maxDeliveries: spec.maxDeliveries,
    maxInflight: spec.maxInflight,
    retryMs: spec.retry.map(parseDuration),
    leaseMs: parseDuration(spec.lease ?? defaultLease),
    timeoutMs: parseDuration(spec.timeout),
  };
}

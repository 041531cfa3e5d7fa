import type { SubscriptionsPort as ConsumersPort } from '../../channels/pubsub/zato2/ports.ts';
import type { PullSubscription, SubscriptionsPort } from '../../channels/pubsub/zato4/ports.ts';
import type { DefinitionStore } from '../config/store.ts';
import { parseDuration } from '../core/duration.ts';
import { Fault } from '../core/fault.ts';
import type { RouteTable } from '../pubsub/route-table.ts';
import { defaultLease, type SubscriptionSpec } from '../pubsub/subscription-definition.ts';
import type { DefinitionTypes } from './definition-types.ts';

export interface ClientSubscriptionsOptions {
  readonly store: DefinitionStore;
  readonly types: DefinitionTypes;
  readonly routes: () => RouteTable;
  /** Empties the queue of a client that has left every topic. */
  readonly purge: (subKey: string) => Promise<unknown>;
}

/** An edit that met another one is made again, so often. */
const maxTries = 10;

/** Subscriptions as their clients see and change them: each edit is one of the definition. */
export class ClientSubscriptions implements SubscriptionsPort {
  readonly #options: ClientSubscriptionsOptions;

  constructor(options: ClientSubscriptionsOptions) {
    this.#options = options;
  }

  bySecurity(security: string): PullSubscription | undefined {
    const route = this.#options.routes().bySecurity(security);
    if (!route?.definition) return undefined;
    const { lease, maxDeliveries, maxInflight, paused } = route.definition.spec;
    const { subKey } = route;
    return {
      subKey,
      leaseMs: parseDuration(lease ?? defaultLease),
      maxDeliveries,
      maxInflight,
      paused,
    };
  }

  /** The same for consumers of Zato 2.0: what they were given is theirs until they say more, or a lease is configured. */
  readonly consumers: ConsumersPort = {
    bySecurity: (security) => {
      const found = this.bySecurity(security);
      const lease = this.#options.routes().bySecurity(security)?.definition?.spec.lease;
      if (!found || lease !== undefined) return found;
      const { leaseMs: _, ...held } = found;
      return held;
    },
    gets: (subKey, topic) =>
      this.#options
        .routes()
        .match(topic)
        .some((one) => one.subKey === subKey),
  };

  subscribe(security: string, topic: string): Promise<string> {
    return this.#edit(async () => {
      const { store, types } = this.#options;
      const found = this.#of(security);
      if (!found) {
        const spec = { security, topics: [topic], delivery: 'pull' };
        const made = await store.create(types.subscription.type, this.#freeName(security), spec);
        return subKeyOf(made.spec as SubscriptionSpec);
      }
      const { name, revision, spec } = found;
      if (!spec.topics.includes(topic)) {
        const topics = [...spec.topics, topic];
        await store.patch(types.subscription.type, name, { topics }, { ifRevision: revision });
      }
      return subKeyOf(spec);
    });
  }

  unsubscribe(security: string, topic: string): Promise<void> {
    return this.#edit(async () => {
      const { store, types, purge } = this.#options;
      const found = this.#of(security);
      if (!found?.spec.topics.includes(topic)) return;
      const { name, revision, spec } = found;
      const topics = spec.topics.filter((one) => one !== topic);
      await store.patch(types.subscription.type, name, { topics }, { ifRevision: revision });
      if (topics.length === 0) await purge(subKeyOf(spec));
    });
  }

  /** Delivers no more of it until somebody resumes it. */
  async pause(subKey: string): Promise<void> {
    const { store, types, routes } = this.#options;
    const name = routes().get(subKey)?.definition?.name;
    if (name !== undefined) await store.patch(types.subscription.type, name, { paused: true });
  }

  #of(security: string) {
    const { store, types } = this.#options;
    return store
      .list(types.subscription)
      .find(({ spec }) => spec.security === security && spec.delivery === 'pull');
  }

  /** The client's own name, unless somebody has it. */
  #freeName(security: string): string {
    const { store, types } = this.#options;
    let name = security;
    for (let n = 2; store.get(types.subscription, name); n++) name = `${security}-${n}`;
    return name;
  }

  async #edit<T>(edit: () => Promise<T>): Promise<T> {
    for (let tries = 1; ; tries++) {
      try {
        return await edit();
      } catch (error) {
        if (tries === maxTries || !Fault.is(error) || error.code !== 'conflict') throw error;
        await this.#options.store.refresh();
      }
    }
  }
}

function subKeyOf({ subKey }: SubscriptionSpec): string {
  if (subKey === undefined) throw new Fault('internal', 'Internal error');
  return subKey;
}

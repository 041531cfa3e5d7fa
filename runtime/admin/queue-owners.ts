import { Fault } from '../core/fault.ts';
import type { RouteTable, SubscriptionRoute } from '../pubsub/route-table.ts';
import { normaliseTopic } from '../pubsub/topic-name.ts';

/** Whose a queue is, and what holds for its messages. */
export interface QueueOwner {
  /** The definition's name; the subKey of one that a program made. */
  readonly name: string;
  readonly subKey: string;
  readonly topics: readonly string[];
  readonly delivery: 'pull' | 'push';
  readonly enabled: boolean;
  readonly paused: boolean;
  readonly lease?: string | number | undefined;
  readonly maxDeliveries?: number;
  readonly maxInflight?: number;
}

export interface QueueSources {
  /** As `RouteFeed` is: the subscriptions of definitions, and those that programs made. */
  readonly source: { readonly routes: Pick<RouteTable, 'list' | 'match'> };
}

/** Every queue there is, by the name of its subscription. */
export class QueueOwners {
  readonly #source: QueueSources['source'];

  constructor({ source }: QueueSources) {
    this.#source = source;
  }

  /** Sorted by name; with a topic, those that get it. */
  list(topic?: string): readonly QueueOwner[] {
    const { routes } = this.#source;
    const found = topic === undefined ? routes.list() : routes.match(normaliseTopic(topic));
    return found.map(ownerOf).sort((one, other) => (one.name < other.name ? -1 : 1));
  }

  /** By the name of the subscription, or by its subKey. @throws Fault `not-found`. */
  get(nameOrKey: string): QueueOwner {
    const all = this.list();
    const owner =
      all.find(({ name }) => name === nameOrKey) ?? all.find(({ subKey }) => subKey === nameOrKey);
    if (owner) return owner;
    throw new Fault('not-found', `No such subscription: ${nameOrKey}`);
  }

  /** Names by subKey. */
  names(): (subKey: string) => string {
    const names = new Map(this.list().map(({ subKey, name }) => [subKey, name]));
    return (subKey) => names.get(subKey) ?? subKey;
  }
}

function ownerOf({ subKey, topics, push, definition }: SubscriptionRoute): QueueOwner {
  if (definition === undefined) {
    const delivery = push ? 'push' : 'pull';
    return { name: subKey, subKey, topics, delivery, enabled: true, paused: false };
  }
  const { delivery, enabled, paused, lease, maxDeliveries, maxInflight } = definition.spec;
  const { name } = definition;
  return {
    ...{ name, subKey, topics, delivery, enabled, paused },
    ...{ lease, maxDeliveries, maxInflight },
  };
}

import { RouteIndex } from './route-index.ts';
import type { Route, Routes, Subscription } from './routes.ts';
import type { SubscriptionSpec } from './subscription-definition.ts';

/** A subscription as the store of definitions has it. */
export interface SubscriptionDefinition {
  readonly name: string;
  readonly spec: SubscriptionSpec;
}

/** A subscription, and what it gets. */
export interface SubscriptionRoute extends Route {
  readonly topics: readonly string[];
  /** Nothing is published to it otherwise, but its queue is still its own. */
  readonly enabled: boolean;
  /** Of a defined one. */
  readonly definition?: SubscriptionDefinition;
  /** Of one that a program made. */
  readonly facts?: Subscription['facts'];
}

/** What a store of definitions tells of one that was made, edited or deleted. */
export interface SubscriptionChange {
  readonly before?: SubscriptionDefinition;
  readonly after?: SubscriptionDefinition;
}

interface Parts {
  readonly defined?: RouteIndex;
  readonly made?: RouteIndex;
  readonly matched?: Map<string, readonly SubscriptionRoute[]>;
}

const madeMaxDepth = 1_000_000;
const maxRemembered = 10_000;

/**
 * Which subscriptions get a topic: those of the definitions at one revision, and those that programs
 * made. It never changes; whoever changes something gets another table.
 */
export class RouteTable implements Routes {
  readonly revision: number;
  readonly #defined: RouteIndex;
  readonly #made: RouteIndex;
  readonly #matched: Map<string, readonly SubscriptionRoute[]>;

  /** Empty, unless parts are given. */
  constructor(revision = 0, { defined, made, matched }: Parts = {}) {
    this.revision = revision;
    this.#defined = defined ?? new RouteIndex();
    this.#made = made ?? new RouteIndex();
    this.#matched = matched ?? new Map();
  }

  /** The table of these definitions; nothing is made by a program yet. */
  static of(definitions: readonly SubscriptionDefinition[], revision: number): RouteTable {
    const defined = new RouteIndex().with([], definitions.flatMap(definedRoute));
    return new RouteTable(revision, { defined });
  }

  /** The same, but for these definitions. */
  change(changes: readonly SubscriptionChange[], revision: number): RouteTable {
    const gone = changes.flatMap(({ before }) => (before ? definedRoute(before) : []));
    const come = changes.flatMap(({ after }) => (after ? definedRoute(after) : []));
    const made = this.#made;
    if (gone.length > 0 || come.length > 0) {
      return new RouteTable(revision, { defined: this.#defined.with(gone, come), made });
    }
    // Something else was edited: what was found holds.
    return new RouteTable(revision, { defined: this.#defined, made, matched: this.#matched });
  }

  /** The same, but with these in the place of all that programs made. */
  withMade(subscriptions: readonly Subscription[]): RouteTable {
    const made = new RouteIndex().with([], subscriptions.map(madeRoute));
    return new RouteTable(this.revision, { defined: this.#defined, made });
  }

  /** The enabled ones, each once. */
  match(topic: string): readonly SubscriptionRoute[] {
    const known = this.#matched.get(topic);
    if (known) return known;
    const found = new Map<string, SubscriptionRoute>();
    for (const index of [this.#made, this.#defined]) {
      for (const route of index.find(topic)) found.set(route.subKey, route);
    }
    const routes = [...found.values()];
    if (this.#matched.size >= maxRemembered) this.#matched.clear();
    this.#matched.set(topic, routes);
    return routes;
  }

  /** A disabled one too: its queue is still its own. */
  get(subKey: string): SubscriptionRoute | undefined {
    return this.#defined.get(subKey) ?? this.#made.get(subKey);
  }

  /** The enabled pull subscription of a security definition. */
  bySecurity(security: string): SubscriptionRoute | undefined {
    return this.#defined.reader(security);
  }

  /** All of them, disabled ones too. */
  list(): readonly SubscriptionRoute[] {
    const made = [...this.#made.all].filter(({ subKey }) => !this.#defined.get(subKey));
    return [...this.#defined.all, ...made];
  }
}

/** None for a definition that was never stored: it has no queue. */
function definedRoute(definition: SubscriptionDefinition): readonly SubscriptionRoute[] {
  const { subKey, topics, enabled, delivery, maxDepth, whenFull } = definition.spec;
  if (subKey === undefined) return [];
  const push = delivery === 'push';
  return [{ subKey, topics, enabled, push, maxDepth, whenFull, definition }];
}

function madeRoute({ subKey, topics, push, facts }: Subscription): SubscriptionRoute {
  return {
    ...{ subKey, topics, push, facts },
    ...{ enabled: true, maxDepth: madeMaxDepth, whenFull: 'refuse' },
  };
}

import { RouteTable, type SubscriptionChange, type SubscriptionDefinition } from './route-table.ts';
import type { RouteSource, Subscription } from './routes.ts';

export interface RouteFeedOptions {
  /** Of the definitions: it moves with edits of other types too. */
  readonly revision: () => number;
  /** Reads the newest definitions from Redis; `change` has been told of them when it is done. */
  readonly refresh: () => Promise<void>;
}

/** The newest routes, kept so by whoever hears of edits. */
export class RouteFeed implements RouteSource {
  readonly #options: RouteFeedOptions;
  #table = new RouteTable();
  #made: readonly Subscription[] = [];

  constructor(options: RouteFeedOptions) {
    this.#options = options;
  }

  get routes(): RouteTable {
    const revision = this.#options.revision();
    if (this.#table.revision !== revision) this.#table = this.#table.change([], revision);
    return this.#table;
  }

  /** These are all the definitions there are. */
  load(definitions: readonly SubscriptionDefinition[]): void {
    this.#table = RouteTable.of(definitions, this.#options.revision()).withMade(this.#made);
  }

  change(changes: readonly SubscriptionChange[]): void {
    this.#table = this.#table.change(changes, this.#options.revision());
  }

  learn(subscriptions: readonly Subscription[]): void {
    this.#made = subscriptions;
    this.#table = this.#table.withMade(subscriptions);
  }

  refresh(): Promise<void> {
    return this.#options.refresh();
  }
}

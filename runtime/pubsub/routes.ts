/** One subscription as publishing sees it. */
export interface Route {
  readonly subKey: string;
  /** Someone delivers it: a publication wakes that delivery. */
  readonly push: boolean;
  /** Waiting, leased and delayed messages at most. */
  readonly maxDepth: number;
  /** At `maxDepth`: refuse the publication as a whole, or leave this queue out of it. */
  readonly whenFull: 'refuse' | 'drop';
}

/** Who gets what, as of one revision of the definitions. */
export interface Routes {
  readonly revision: number;
  /** Each subscription of the topic once. */
  match(topic: string): readonly Route[];
  get(subKey: string): Route | undefined;
  list(): readonly Route[];
}

/** The newest routes, and the revisions they were made of. */
export interface RouteState {
  readonly routes: Routes;
  /** Of the program-made subscriptions. */
  readonly subscriptions: string;
}

/** Where the broker learns who subscribes: the definitions, and what programs subscribed to. */
export interface RouteSource {
  readonly routes: Routes;
  /** Reads the newest definitions from Redis. */
  refresh(): Promise<void>;
  /** The program-made subscriptions, all of them, as the broker read them last. */
  learn(subscriptions: readonly Subscription[]): void;
}

/** A subscription that a program made, not the configuration. */
export interface Subscription {
  readonly subKey: string;
  /** Topics or patterns of topics. */
  readonly topics: readonly string[];
  /** Facts of whoever made it, kept and given back as they are: target of the delivery, owner. */
  readonly facts: Readonly<Record<string, string>>;
  readonly push: boolean;
}

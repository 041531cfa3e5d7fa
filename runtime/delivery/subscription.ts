/** What delivery needs to know of a push subscription; read again before each batch. */
export interface DeliverySubscription {
  readonly subKey: string;
  /** As people know it. */
  readonly name: string;
  /** Exactly one of the two is given. */
  readonly service?: string;
  readonly outgoing?: string;
  /** Of what an outgoing connection is sent; default `zato4`. */
  readonly format?: 'zato4' | 'zato2';
  readonly enabled: boolean;
  readonly paused: boolean;
  /** Taken at once at most. */
  readonly batch: number;
  /** Deliveries at the same time; 1 when `ordered`. */
  readonly concurrency: number;
  /** Strictly one after the other: a failed message is tried again before any later one. */
  readonly ordered: boolean;
  readonly maxDeliveries: number;
  /** Leased messages at most. */
  readonly maxInflight?: number;
  /** Waits between attempts; the last one is repeated. */
  readonly retryMs: readonly number[];
  /** At most; a delivery renews a shorter lease of its own, so that what a dead process held is free soon. */
  readonly leaseMs: number;
  /** How long one attempt may take. */
  readonly timeoutMs: number;
}

/** Where subscriptions are learned from; `undefined` for one that is gone or not pushed. */
export interface DeliverySubscriptions {
  get(subKey: string): DeliverySubscription | undefined;
}

/** What failures are counted for, whichever subscription they came from. */
export function endpointOf(subscription: DeliverySubscription): string {
  return subscription.service === undefined
    ? `outgoing:${subscription.outgoing ?? ''}`
    : `service:${subscription.service}`;
}

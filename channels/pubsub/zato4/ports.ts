import type { Delivery, Lease, Publication, Published } from '../../../runtime/pubsub/message.ts';

/** What the door needs of the broker. */
export interface BrokerPort {
  publish(publication: Publication): Promise<Published>;
  take(subKey: string, options: TakeOptions): Promise<readonly Delivery[]>;
  /** True per lease; false where it was no longer held. */
  ack(subKey: string, leases: readonly Lease[]): Promise<readonly boolean[]>;
  reject(subKey: string, rejections: readonly RejectedLease[]): Promise<readonly RejectResult[]>;
}

interface TakeOptions {
  readonly max: number;
  readonly maxBytes: number;
  readonly leaseMs: number;
  readonly maxDeliveries: number;
  readonly maxInflight: number;
  readonly waitMs: number;
  readonly signal?: AbortSignal;
}

interface RejectedLease extends Lease {
  readonly delayMs?: number;
  readonly reason?: string;
  /** To the dead letters, with this reason. */
  readonly dead?: string;
  /** False when it was not the message's fault. */
  readonly countFailure?: boolean;
  readonly maxDeliveries?: number;
}

export type RejectResult = 'waiting' | 'delayed' | 'dead' | 'gone';

/** Who may do what, by the name of a security definition. */
export interface PermissionsPort {
  may(security: string, action: 'publish' | 'subscribe', topic: string): boolean;
  /** Whether there is a permission or a subscription of this definition at all. */
  knows(security: string): boolean;
}

/** A defined topic, as publishing needs it. */
export interface TopicRules {
  readonly enabled: boolean;
  /** In bytes of data. */
  readonly maxSize?: number | undefined;
  readonly expirationMs?: number | undefined;
  readonly priority?: number | undefined;
}

export interface TopicsPort {
  /** By lower-case name; undefined when there is no such topic. */
  get(name: string): TopicRules | undefined;
}

/** The one subscription of a security definition, as reading needs it. */
export interface PullSubscription {
  readonly subKey: string;
  readonly leaseMs: number;
  readonly maxDeliveries: number;
  readonly maxInflight: number;
  /** Nothing is delivered for now. */
  readonly paused: boolean;
}

export interface SubscriptionsPort {
  bySecurity(security: string): PullSubscription | undefined;
  /** Adds the topic to the subscription, which is made when there is none; gives its subKey. */
  subscribe(security: string, topic: string): Promise<string>;
  /** Takes the topic out of the subscription; nothing happens where it was not in. */
  unsubscribe(security: string, topic: string): Promise<void>;
}

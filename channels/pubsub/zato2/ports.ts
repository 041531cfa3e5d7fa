import type { Delivery, Lease, Publication, Published } from '../../../runtime/pubsub/message.ts';

/** What the door needs of the broker. */
export interface BrokerPort {
  publish(publication: Publication): Promise<Published>;
  take(subKey: string, options: TakeOptions): Promise<readonly Delivery[]>;
  /** True per lease; false where it was no longer held. */
  extend(subKey: string, leases: readonly Lease[], leaseMs: number): Promise<readonly boolean[]>;
  leases(subKey: string, ids: readonly string[]): Promise<readonly (Lease | undefined)[]>;
  ack(subKey: string, leases: readonly Lease[]): Promise<readonly boolean[]>;
  reject(subKey: string, rejections: readonly RejectedLease[]): Promise<readonly RejectResult[]>;
}

interface TakeOptions {
  readonly max: number;
  readonly maxBytes: number;
  readonly leaseMs: number;
  readonly maxDeliveries: number;
  readonly maxInflight: number;
  readonly refuseFull: boolean;
  readonly topic: string;
  readonly newestFirst: boolean;
}

interface RejectedLease extends Lease {
  readonly reason?: string;
  /** False when it was not the message's fault. */
  readonly countFailure?: boolean;
  readonly maxDeliveries?: number;
}

type RejectResult = 'waiting' | 'delayed' | 'dead' | 'gone';

/** Who may do what, by the name of a security definition. */
export interface PermissionsPort {
  may(security: string, action: 'publish' | 'subscribe', topic: string): boolean;
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

/** The one subscription of a security definition, as its consumer needs it. */
export interface ConsumerSubscription {
  readonly subKey: string;
  /** Absent where none is configured: what a consumer was given is its own until it says more. */
  readonly leaseMs?: number;
  readonly maxDeliveries: number;
  readonly maxInflight: number;
  /** Nothing is delivered for now. */
  readonly paused: boolean;
}

export interface SubscriptionsPort {
  bySecurity(security: string): ConsumerSubscription | undefined;
  /** Whether what is published to the topic comes to that subscription. */
  gets(subKey: string, topic: string): boolean;
}

import type { Delivery, Lease, MessageState, QueuedMessage } from '../pubsub/message.ts';

export type Settled = 'waiting' | 'delayed' | 'dead' | 'gone';

export interface Rejection {
  readonly delayMs?: number;
  readonly reason?: string;
  readonly dead?: string;
  readonly countFailure?: boolean;
  readonly maxDeliveries?: number;
  readonly version?: string;
}

interface TakeOptions {
  readonly max?: number;
  readonly leaseMs?: number;
  readonly maxDeliveries?: number;
  readonly maxInflight?: number;
  readonly waitMs?: number;
  readonly signal?: AbortSignal;
}

/** Of the broker, what a delivery needs. */
export interface DeliveryBroker {
  take(subKey: string, options: TakeOptions): Promise<readonly Delivery[]>;
  ack(subKey: string, leases: readonly Lease[]): Promise<readonly boolean[]>;
  reject(subKey: string, rejections: readonly (Lease & Rejection)[]): Promise<readonly Settled[]>;
  extend(subKey: string, leases: readonly Lease[], leaseMs: number): Promise<readonly boolean[]>;
  browse(
    subKey: string,
    query: { readonly state: MessageState; readonly from?: number; readonly limit?: number },
  ): Promise<{ readonly items: readonly QueuedMessage[]; readonly total: number }>;
  quiet(quietMs: number): Promise<readonly string[]>;
  awake(subKey: string): Promise<void>;
  rest(
    subKey: string,
    options?: { readonly until?: number },
  ): Promise<{ readonly asleep: boolean; readonly nextAt?: number }>;
}

/** Of the broker, what redriving needs. */
export interface RedriveBroker {
  browse: DeliveryBroker['browse'];
  find(msgId: string): Promise<readonly QueuedMessage[]>;
  redrive(
    subKey: string,
    options: { readonly msgIds?: readonly string[]; readonly max?: number },
  ): Promise<number>;
}

/** One step of a message's journey. */
export interface DeliveryNote {
  readonly cid: string;
  readonly msgId: string;
  readonly step: 'attempt' | 'delivered' | 'dead';
  readonly facts: Readonly<Record<string, unknown>>;
}

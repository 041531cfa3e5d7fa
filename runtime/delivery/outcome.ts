import { Fault } from '../core/fault.ts';
import type { Delivery } from '../pubsub/message.ts';
import type { DeliverySubscription } from './subscription.ts';

/** How one attempt ended. */
export type Outcome =
  | { readonly kind: 'done' }
  | Failed
  /** Not the message's attempt: the other side, or its connection, wants no calls for so long. */
  | { readonly kind: 'held'; readonly error: string; readonly waitMs: number }
  /** The other side wants no more of this, ever. */
  | { readonly kind: 'gone'; readonly error: string };

export interface Failed {
  readonly kind: 'failed';
  readonly error: string;
  /** The next try not before. */
  readonly retryAfterMs?: number;
  /** That holds for whatever else is sent there. */
  readonly forAll?: boolean;
  /** Any other message would have failed too, as far as one can tell. */
  readonly endpoint: boolean;
  /** The other side refused this very message: a few tries, whatever the subscription allows. */
  readonly refused?: boolean;
}

export interface Attempt {
  readonly subscription: DeliverySubscription;
  readonly delivery: Delivery;
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

/** Who messages are pushed to. */
export interface Target {
  /** False while it does not exist: nothing is taken for it then. */
  ready(subscription: DeliverySubscription): boolean;
  /** Never throws. */
  deliver(attempt: Attempt): Promise<Outcome>;
  /** Which version would be called now. */
  version(subscription: DeliverySubscription): string | undefined;
}

/** An error in one line: its class or code, and what it says. */
export function errorText(thrown: unknown): string {
  if (Fault.is(thrown) && thrown.code !== 'internal') return `${thrown.code}: ${thrown.message}`;
  const cause = Fault.is(thrown) ? (thrown.cause ?? thrown) : thrown;
  return cause instanceof Error ? `${cause.name}: ${cause.message}` : `thrown: ${String(cause)}`;
}

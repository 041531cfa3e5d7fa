import type { Delivery } from '../pubsub/message.ts';
import type { Outcome, Target } from './outcome.ts';
import type { DeliverySubscription } from './subscription.ts';

export type Ended = Outcome | { readonly kind: 'abandoned' };

/** One delivery under way: it ends within its time, or when it is abandoned, whatever the target does. */
export class Running {
  readonly delivery: Delivery;
  readonly subscription: DeliverySubscription;
  readonly ended: Promise<Ended>;
  readonly #began = performance.now();
  readonly #abort = new AbortController();
  #end: (ended: Ended) => void = () => {};
  #timer: NodeJS.Timeout | undefined;

  constructor(target: Target, subscription: DeliverySubscription, delivery: Delivery) {
    this.delivery = delivery;
    this.subscription = subscription;
    this.ended = new Promise((resolve) => {
      this.#end = resolve;
      this.#run(target);
    });
  }

  get ms(): number {
    return performance.now() - this.#began;
  }

  /** Nobody waits for it any more; what it does may go on. */
  abandon(): void {
    clearTimeout(this.#timer);
    this.#end({ kind: 'abandoned' });
    this.#abort.abort();
  }

  #run(target: Target): void {
    const { subscription, delivery } = this;
    const { timeoutMs } = subscription;
    this.#timer = setTimeout(() => {
      const error = `timeout: the delivery did not end in ${timeoutMs} ms`;
      this.#end({ kind: 'failed', error, endpoint: true });
      this.#abort.abort();
    }, timeoutMs);
    const { signal } = this.#abort;
    target.deliver({ subscription, delivery, timeoutMs, signal }).then(
      (outcome) => {
        clearTimeout(this.#timer);
        this.#end(outcome);
      },
      (error: unknown) => {
        clearTimeout(this.#timer);
        this.#end({ kind: 'failed', error: String(error), endpoint: true });
      },
    );
  }
}

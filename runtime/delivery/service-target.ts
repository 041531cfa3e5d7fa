import { Fault } from '../core/fault.ts';
import type { Delivery } from '../pubsub/message.ts';
import { type Attempt, errorText, type Outcome, type Target } from './outcome.ts';
import type { DeliverySubscription } from './subscription.ts';

export interface ServicePort {
  /** Whether it is deployed here. */
  has(service: string): boolean;
  /** Which version would be called now. */
  version?(service: string): string | number | undefined;
  /** Calls the service with the message; an exception is a failed attempt. */
  invoke(service: string, delivery: Delivery, limits: ServiceLimits): Promise<unknown>;
}

export interface ServiceLimits {
  readonly timeoutMs: number;
  /** Aborted when nobody waits for the outcome any more. */
  readonly signal: AbortSignal;
}

/** What a bad message, and not a bad service, looks like. */
const ofTheMessage = new Set(['bad-request', 'too-large', 'conflict', 'method-not-allowed']);
/** Undeployed in the very moment of the call. */
const absentMs = 1_000;

export class ServiceTarget implements Target {
  readonly #services: ServicePort;

  constructor(services: ServicePort) {
    this.#services = services;
  }

  ready({ service = '' }: DeliverySubscription): boolean {
    return this.#services.has(service);
  }

  version({ service = '' }: DeliverySubscription): string | undefined {
    const version = this.#services.version?.(service);
    return version === undefined ? undefined : String(version);
  }

  async deliver({ subscription, delivery, timeoutMs, signal }: Attempt): Promise<Outcome> {
    const { service = '' } = subscription;
    try {
      await this.#services.invoke(service, delivery, { timeoutMs, signal });
      return { kind: 'done' };
    } catch (thrown) {
      return this.#failed(service, thrown);
    }
  }

  #failed(service: string, thrown: unknown): Outcome {
    const { code, retryAfterMs } = Fault.from(thrown);
    const error = errorText(thrown);
    if (code === 'not-found' && !this.#services.has(service)) {
      return { kind: 'held', error, waitMs: absentMs };
    }
    return {
      kind: 'failed',
      error,
      endpoint: !ofTheMessage.has(code),
      ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
    };
  }
}

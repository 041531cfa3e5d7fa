import type { Redis } from 'ioredis';
import type { DeliveryBroker } from './ports.ts';

export interface MarksOptions {
  /** A connection that fails fast. */
  readonly redis: Redis;
  readonly broker: Pick<DeliveryBroker, 'browse'>;
  readonly namespace?: string;
}

/** A mark that nobody clears goes away by itself. */
const holdSpareMs = 24 * 3_600_000;

/** What the next drain of a subscription must know, in whatever process it runs. */
export class Marks {
  readonly #redis: Redis;
  readonly #broker: MarksOptions['broker'];
  readonly #namespace: string;

  constructor({ redis, broker, namespace = 'hence' }: MarksOptions) {
    this.#redis = redis;
    this.#broker = broker;
    this.#namespace = namespace;
  }

  /** The process that delivered died: the messages it held are suspects for so long. */
  async suspect(subKey: string, ms: number): Promise<void> {
    await this.#redis.set(this.#key('suspects', subKey), '1', 'PX', ms);
  }

  /** For how long there still are suspects, in ms; 0 when there are none. */
  async suspectsMs(subKey: string): Promise<number> {
    return Math.max(0, await this.#redis.pttl(this.#key('suspects', subKey)));
  }

  /**
   * While this message is delayed, no other of its subscription may be delivered. To be set before the message is
   * rejected: whoever takes a later one then sees it.
   */
  async hold(subKey: string, msgId: string, delayMs: number): Promise<void> {
    await this.#redis.set(this.#key('hold', subKey), msgId, 'PX', delayMs + holdSpareMs);
  }

  async release(subKey: string): Promise<void> {
    await this.#redis.del(this.#key('hold', subKey));
  }

  /** How long this message, or any when not given, must wait for a held one, in ms. */
  async heldMs(subKey: string, msgId?: string): Promise<number> {
    const held = await this.#redis.get(this.#key('hold', subKey));
    if (held === null || held === msgId) return 0;
    const { items } = await this.#broker.browse(subKey, { state: 'delayed', limit: 100 });
    const delayed = items.find(({ message }) => message.msgId === held);
    if (delayed) return Math.max(20, (delayed.at ?? 0) - Date.now());
    // Delivered, dead, removed, or waiting again.
    await this.release(subKey);
    return 0;
  }

  #key(kind: string, subKey: string): string {
    return `{${this.#namespace}}:delivery:${kind}:${subKey}`;
  }
}

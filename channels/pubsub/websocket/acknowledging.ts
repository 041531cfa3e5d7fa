import type { Lease } from '../../../runtime/pubsub/message.ts';
import type { DeliveryHost } from './ports.ts';

const atOnce = 500;
const againMs = 500;
const maxTries = 5;

/** Tells the broker of what is done, all of one turn of the event loop together. */
export class Acknowledging {
  readonly #host: Pick<DeliveryHost, 'broker' | 'log'>;
  readonly #subKey: string;
  #waiting: Lease[] = [];
  #telling: Promise<void> | undefined;

  constructor(host: Pick<DeliveryHost, 'broker' | 'log'>, subKey: string) {
    this.#host = host;
    this.#subKey = subKey;
  }

  add(leases: readonly Lease[]): void {
    this.#waiting.push(...leases);
    this.#telling ??= this.#tell();
  }

  /** Resolves when nothing waits any more. */
  async flush(): Promise<void> {
    while (this.#telling !== undefined) await this.#telling;
  }

  async #tell(): Promise<void> {
    await new Promise((resolve) => setImmediate(resolve));
    while (this.#waiting.length > 0) await this.#say(this.#waiting.splice(0, atOnce));
    this.#telling = undefined;
  }

  /** What cannot be said in the end is delivered again when its lease is over. */
  async #say(leases: readonly Lease[]): Promise<void> {
    const { broker, log } = this.#host;
    for (let tries = 1; ; tries++) {
      try {
        await broker.ack(this.#subKey, leases);
        return;
      } catch (error) {
        if (tries < maxTries) {
          await new Promise((resolve) => setTimeout(resolve, againMs * tries));
          continue;
        }
        const facts = { subKey: this.#subKey, messages: leases.length, error };
        log.warn('delivered messages not acknowledged', facts);
        return;
      }
    }
  }
}

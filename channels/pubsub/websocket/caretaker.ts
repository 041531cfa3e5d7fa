import type { Logger } from '../../../runtime/log/logger.ts';
import type { Holders, Left } from '../../../runtime/pubsub/holders.ts';
import type { BrokerPort } from './ports.ts';

export interface CaretakerOptions {
  readonly holders: Holders;
  readonly broker: BrokerPort;
  readonly log: Logger;
  readonly everyMs: number;
  /** Looks whether this process still holds what it delivers. */
  readonly check: () => Promise<void>;
}

/** Says that this process lives, and ends what dead ones have left. */
export class Caretaker {
  readonly #options: CaretakerOptions;
  /** Endings that failed, to be tried again. */
  readonly #unfinished = new Map<string, Left>();
  #timer: NodeJS.Timeout | undefined;
  #round: Promise<void> | undefined;
  #down = false;

  constructor(options: CaretakerOptions) {
    this.#options = options;
  }

  start(): void {
    this.#timer ??= setInterval(() => this.#begin(), this.#options.everyMs);
  }

  /** Resolves when nothing of it runs any more. */
  async stop(): Promise<void> {
    clearInterval(this.#timer);
    this.#timer = undefined;
    await this.#round;
  }

  /** Ends a holding, and with it the subscription where it was to end with its connection. */
  async finish(left: Left): Promise<void> {
    const { subKey, token } = left;
    const { holders } = this.#options;
    try {
      if (this.#endsWithClose(subKey)) await this.#unsubscribe(left);
      else await holders.release(subKey, token);
      this.#unfinished.delete(token);
    } catch (error) {
      this.#unfinished.set(token, left);
      throw error;
    }
  }

  async #unsubscribe({ subKey, token }: Left): Promise<void> {
    const { holders, broker } = this.#options;
    if (!(await holders.end(subKey, token))) return;
    await broker.unsubscribe(subKey);
    await holders.release(subKey, token);
  }

  #begin(): void {
    this.#round ??= this.#goRound().finally(() => {
      this.#round = undefined;
    });
  }

  async #goRound(): Promise<void> {
    try {
      await this.#options.holders.beat();
      await this.#options.check();
      for (const left of [...this.#unfinished.values()]) await this.finish(left);
      await this.#sweep();
      this.#down = false;
    } catch (error) {
      if (!this.#down)
        this.#options.log.warn('WebSocket subscriptions not looked after', { error });
      this.#down = true;
    }
  }

  async #sweep(): Promise<void> {
    const { holders, broker, log } = this.#options;
    let swept = 0;
    for await (const left of holders.ofTheDead()) {
      if (swept++ === 0) await broker.refresh();
      await this.finish(left);
    }
    if (swept > 0) log.info('subscriptions of a dead process ended', { subscriptions: swept });
  }

  #endsWithClose(subKey: string): boolean {
    const found = this.#options.broker.subscriptions().find((one) => one.subKey === subKey);
    return found?.facts['unsub'] === 'true';
  }
}

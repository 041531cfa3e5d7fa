import type { IncomingMessage, ServerResponse } from 'node:http';
import { Fault } from '../../../runtime/core/fault.ts';
import { OpenExchanges } from '../rest/open-exchanges.ts';
import { unknownUrl } from './answer.ts';
import { type Operation, operationAt, pathOf } from './door-routes.ts';
import { Exchange, type ExchangeHost } from './exchange.ts';

export interface Zato4DoorOptions extends Omit<ExchangeHost, 'draining'> {
  /** Whether clients may subscribe and unsubscribe themselves. Default true. */
  readonly subscribeEnabled?: boolean;
}

/**
 * The publish/subscribe REST API of Zato 4, and what is ours beside it: leases, long polls, idempotency
 * keys. Not on koa: with its router it adds a fifth to what a publication costs here.
 */
export class Zato4Door {
  readonly #host: ExchangeHost;
  readonly #subscribeEnabled: boolean;
  readonly #open = new OpenExchanges();

  constructor({ subscribeEnabled = true, ...host }: Zato4DoorOptions) {
    this.#host = { ...host, draining: this.#open.draining };
    this.#subscribeEnabled = subscribeEnabled;
  }

  /** Takes the request when it is for this door, and says whether it did. */
  readonly handle = (req: IncomingMessage, res: ServerResponse): boolean => {
    const path = pathOf(req.url ?? '');
    if (path === undefined) return false;
    const operation = operationAt(path, { subscribeEnabled: this.#subscribeEnabled });
    this.#open.add(serve(new Exchange(this.#host, req, res), operation));
    return true;
  };

  /**
   * Ends the long polls, and each connection with its next reply. Resolves when every message that was
   * handed out is acknowledged or back.
   */
  drain(): Promise<void> {
    return this.#open.drain();
  }
}

/** Never rejects. */
async function serve(exchange: Exchange, operation: Operation | undefined): Promise<void> {
  try {
    if (!operation) {
      exchange.send(unknownUrl(exchange.cid));
      return;
    }
    if (exchange.req.method !== 'POST') {
      throw new Fault('method-not-allowed', `${exchange.req.method} is not served here, only POST`);
    }
    await exchange.authenticate();
    await operation(exchange);
  } catch (error) {
    exchange.fail(error);
  }
}

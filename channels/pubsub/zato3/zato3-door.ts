import type { IncomingMessage, ServerResponse } from 'node:http';
import { OpenExchanges } from '../rest/open-exchanges.ts';
import { methodNotAllowed } from './answer.ts';
import { type Place, placeOf } from './door-routes.ts';
import { Exchange, type ExchangeHost } from './exchange.ts';

export type Zato3DoorOptions = Omit<ExchangeHost, 'draining'>;

/** The publish/subscribe REST API of Zato 3.2, for clients that have an endpoint. */
export class Zato3Door {
  readonly #host: ExchangeHost;
  readonly #open = new OpenExchanges();

  constructor(options: Zato3DoorOptions) {
    this.#host = { ...options, draining: this.#open.draining };
  }

  /** Takes the request when it is for this door, and says whether it did. */
  readonly handle = (req: IncomingMessage, res: ServerResponse): boolean => {
    const place = placeOf(req.url ?? '');
    if (!place) return false;
    this.#open.add(serve(new Exchange(this.#host, req, res), place));
    return true;
  };

  /**
   * Ends each connection with its next reply. Resolves when every message that was handed out is
   * acknowledged or back.
   */
  drain(): Promise<void> {
    return this.#open.drain();
  }
}

/** Never rejects. */
async function serve(exchange: Exchange, { topic, operations }: Place): Promise<void> {
  try {
    exchange.about(topic);
    const { method = '' } = exchange.req;
    const operation = Object.hasOwn(operations, method) ? operations[method] : undefined;
    if (!operation) throw methodNotAllowed(Object.keys(operations).join(', '));
    await exchange.authenticate();
    await operation(exchange, topic);
  } catch (error) {
    exchange.fail(error);
  }
}

import type { IncomingMessage, ServerResponse } from 'node:http';
import { Fault } from '../../../runtime/core/fault.ts';
import { OpenExchanges } from '../rest/open-exchanges.ts';
import { consume } from './consume.ts';
import { Exchange, type ExchangeHost } from './exchange.ts';
import { placeOf } from './place.ts';
import { publish } from './publish.ts';
import { settle } from './settle.ts';

export type Zato2DoorOptions = Omit<ExchangeHost, 'draining'>;

type Operation = (exchange: Exchange) => Promise<void>;

/** By what the URL names, and the method. */
const operations: ReadonlyMap<string, ReadonlyMap<string, Operation>> = new Map([
  ['topic', new Map([['POST', publish]])],
  [
    'msg',
    new Map([
      ['POST', consume],
      ['DELETE', settle],
    ]),
  ],
]);

/** The publish/subscribe REST API of Zato 2.0. */
export class Zato2Door {
  readonly #host: ExchangeHost;
  readonly #open = new OpenExchanges();

  constructor(options: Zato2DoorOptions) {
    this.#host = { ...options, draining: this.#open.draining };
  }

  /** Takes the request when it is for this door, and says whether it did. */
  readonly handle = (req: IncomingMessage, res: ServerResponse): boolean => {
    const place = placeOf(req.url ?? '');
    if (place === undefined) return false;
    this.#open.add(serve(new Exchange(this.#host, req, res, place)));
    return true;
  };

  /** Ends each connection with its next reply; resolves when every message that was taken is sent or back. */
  drain(): Promise<void> {
    return this.#open.drain();
  }
}

/** Never rejects. */
async function serve(exchange: Exchange): Promise<void> {
  try {
    await exchange.authenticate();
    exchange.readFormat();
    await operationOf(exchange)(exchange);
  } catch (error) {
    exchange.fail(error);
  }
}

/** @throws Fault `bad-request` for what is neither a topic nor a message; `method-not-allowed` */
function operationOf(exchange: Exchange): Operation {
  const { req, place } = exchange;
  const methods = operations.get(place.itemType);
  if (!methods) {
    const known = [...operations.keys()].join(', ');
    throw new Fault(
      'bad-request',
      `None of the supported resources \`${known}\` found in URL path`,
    );
  }
  exchange.allowed = [...methods.keys()].join(', ');
  const operation = methods.get(req.method ?? '');
  if (operation) return operation;
  throw new Fault('method-not-allowed', `${req.method} is not served here`);
}

import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Definition } from '../../runtime/config/definition.ts';
import type { Logger } from '../../runtime/log/logger.ts';
import type { Authenticator } from '../../runtime/security/authenticator.ts';
import type { Call, Reply } from '../../runtime/service/call.ts';
import { channelOf } from './channel.ts';
import type { ChannelSpec } from './definition.ts';
import { Exchange, type ExchangeHost } from './exchange.ts';
import { Routes } from './routes.ts';

export interface ChannelServerOptions {
  readonly invoke: (call: Call) => Promise<Reply>;
  readonly authenticator: Pick<Authenticator, 'authenticate' | 'challenge'>;
  readonly log: Logger;
  /** Asked about the requests that are of no channel; what it does not take is answered 404. */
  readonly fallback?: (req: IncomingMessage, res: ServerResponse) => boolean;
}

export type ChannelDefinition = Pick<Definition<ChannelSpec>, 'name' | 'spec'>;

/** Serves HTTP channels, by the definitions it was last given. */
export class ChannelServer implements ExchangeHost {
  readonly routes = new Routes();
  readonly authenticator: ChannelServerOptions['authenticator'];
  readonly log: Logger;
  readonly invoke: (call: Call) => Promise<Reply>;
  readonly fallback: ExchangeHost['fallback'];
  readonly #specs = new Map<string, ChannelSpec>();
  #draining = false;
  #drained: (() => void)[] = [];
  #inFlight = 0;
  #served = 0;

  constructor({ invoke, authenticator, log, fallback }: ChannelServerOptions) {
    this.invoke = invoke;
    this.authenticator = authenticator;
    this.log = log;
    this.fallback = fallback;
  }

  /** Requests that were taken and not answered yet. */
  get inFlight(): number {
    return this.#inFlight;
  }

  /** Requests that are done, since the start. */
  get served(): number {
    return this.#served;
  }

  get draining(): boolean {
    return this.#draining;
  }

  /** From now on exactly these channels are served. One that cannot be is logged and left out. */
  update(definitions: Iterable<ChannelDefinition>): void {
    const wanted = new Map<string, ChannelDefinition>();
    for (const definition of definitions) wanted.set(definition.name, definition);
    for (const name of [...this.#specs.keys()]) {
      if (!wanted.has(name)) this.remove(name);
    }
    for (const definition of wanted.values()) {
      if (this.#specs.get(definition.name) !== definition.spec) this.#trySet(definition);
    }
  }

  /** Adds a channel or changes it, in one step. */
  set(definition: ChannelDefinition): void {
    const { name, spec } = definition;
    if (spec.enabled) this.routes.set(channelOf(definition));
    else this.routes.remove(name);
    this.#specs.set(name, spec);
  }

  remove(name: string): void {
    this.routes.remove(name);
    this.#specs.delete(name);
  }

  /** Listener of a `node:http` server's requests. */
  readonly handle = (req: IncomingMessage, res: ServerResponse): void => {
    this.#inFlight++;
    const exchange = new Exchange(this, req, res);
    res.on('close', () => {
      exchange.closed();
      this.#leave();
    });
    exchange.serve();
  };

  /** Each connection ends with its next reply; resolves when nothing is in flight any more. */
  drain(): Promise<void> {
    this.#draining = true;
    if (this.#inFlight === 0) return Promise.resolve();
    return new Promise((resolve) => this.#drained.push(resolve));
  }

  #trySet(definition: ChannelDefinition): void {
    try {
      this.set(definition);
    } catch (error) {
      this.remove(definition.name);
      this.log.error('channel not served', { channel: definition.name, error });
    }
  }

  #leave(): void {
    this.#inFlight--;
    this.#served++;
    if (!this.#draining || this.#inFlight > 0) return;
    for (const resolve of this.#drained.splice(0)) resolve();
  }
}

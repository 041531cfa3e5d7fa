import type { Definition } from '../../runtime/config/definition.ts';
import { background } from '../../runtime/core/background.ts';
import { Fault } from '../../runtime/core/fault.ts';
import type { OutgoingCalls } from '../../runtime/service/ports.ts';
import { type ConnectionOptions, type ConnectionState, OutgoingConnection } from './connection.ts';
import type { OutgoingSpec } from './definition.ts';
import type { Notice } from './guard.ts';

type OutgoingDefinition = Definition<OutgoingSpec>;

interface Wired {
  readonly revision: number;
  readonly connection: OutgoingConnection;
}

/** Every outgoing connection of this process, kept as the definitions are. */
export class OutgoingConnections {
  readonly #options: ConnectionOptions;
  readonly #wired = new Map<string, Wired>();
  readonly #ending = new Set<Promise<void>>();

  constructor(options: ConnectionOptions) {
    this.#options = options;
  }

  /** Takes the whole set of definitions; only what changed is rewired. */
  update(definitions: readonly OutgoingDefinition[]): void {
    const names = new Set(definitions.map(({ name }) => name));
    for (const name of this.#wired.keys()) {
      if (!names.has(name)) this.remove(name);
    }
    for (const definition of definitions) this.set(definition);
  }

  /** Calls in flight end on the connection they began on. */
  set({ name, revision, spec }: OutgoingDefinition): void {
    const before = this.#wired.get(name);
    if (before?.revision === revision) return;
    this.#wired.set(name, {
      revision,
      connection: new OutgoingConnection(name, spec, this.#options),
    });
    if (before !== undefined) this.#end(before.connection);
  }

  remove(name: string): void {
    const wired = this.#wired.get(name);
    this.#wired.delete(name);
    if (wired !== undefined) this.#end(wired.connection);
  }

  /**
   * What is given stays good when the definition changes: each call goes by the newest one.
   * @throws Fault `not-found` when there is no such connection, now or at a later call.
   */
  get(name: string): { readonly conn: OutgoingCalls } {
    this.#current(name);
    return { conn: this.#calls(name) };
  }

  state(name: string): ConnectionState {
    return this.#current(name).state();
  }

  /** Heeds what another process learned, given as it came from `onNotice`. */
  heed(name: string, notice: Notice): void {
    this.#wired.get(name)?.connection.heed(notice);
  }

  /** Resolves when every call has ended. */
  async close(): Promise<void> {
    for (const name of [...this.#wired.keys()]) this.remove(name);
    await Promise.all(this.#ending);
  }

  #current(name: string): OutgoingConnection {
    const wired = this.#wired.get(name);
    if (wired !== undefined) return wired.connection;
    throw new Fault('not-found', `No such outgoing connection: ${name}`);
  }

  #calls(name: string): OutgoingCalls {
    const now = async () => this.#current(name);
    return {
      send: async (cid, data, request) => (await now()).send(cid, data, request),
      get: async (cid, request) => (await now()).get(cid, request),
      post: async (cid, data, request) => (await now()).post(cid, data, request),
      put: async (cid, data, request) => (await now()).put(cid, data, request),
      patch: async (cid, data, request) => (await now()).patch(cid, data, request),
      delete: async (cid, request) => (await now()).delete(cid, request),
      ping: async (cid) => (await now()).ping(cid),
    };
  }

  #end(connection: OutgoingConnection): void {
    const ended = connection.close().finally(() => this.#ending.delete(ended));
    this.#ending.add(ended);
    background(ended, (error) => {
      this.#options.log.warn('outgoing connection did not close cleanly', {
        connection: connection.name,
        error: Fault.from(error).message,
      });
    });
  }
}

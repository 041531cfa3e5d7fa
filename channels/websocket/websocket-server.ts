import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import type { Definition } from '../../runtime/config/definition.ts';
import type { Logger } from '../../runtime/log/logger.ts';
import type { Authenticator } from '../../runtime/security/authenticator.ts';
import type { Call, Reply } from '../../runtime/service/call.ts';
import type { WsxSession } from '../../runtime/service/wsx.ts';
import { channelOf, type WebSocketChannel } from './channel.ts';
import { Clients } from './clients.ts';
import { closeCode } from './close-code.ts';
import { Connection } from './connection.ts';
import type { WebSocketSpec } from './definition.ts';
import type { ConnectionHost, WebSocketLimits } from './host.ts';
import { pathOf } from './path.ts';
import type { Session } from './session.ts';
import type { GatewayService, SessionHooks } from './session-hooks.ts';
import { backToHttp, refusalBody, refuseUpgrade, wantsWebSocket } from './upgrade.ts';

export interface WebSocketServerOptions {
  readonly invoke: (call: Call) => Promise<Reply>;
  readonly authenticator: Pick<Authenticator, 'identify'>;
  readonly log: Logger;
  /** Services of the platform's own that gateways reach, by name. */
  readonly gatewayServices?: Readonly<Record<string, GatewayService>>;
  readonly hooks?: SessionHooks;
  readonly limits?: Partial<WebSocketLimits>;
}

export type WebSocketDefinition = Pick<Definition<WebSocketSpec>, 'name' | 'spec'>;

const defaultLimits: WebSocketLimits = {
  maxBufferedBytes: 1_048_576,
  stallMs: 30_000,
  maxInFlight: 64,
};

interface Served {
  readonly spec: WebSocketSpec;
  readonly channel: WebSocketChannel;
  readonly connections: Set<Connection>;
}

/** Serves WebSocket channels on HTTP servers, by the definitions it was last given. */
export class WebSocketServer {
  /** The clients that are logged in, as services reach them. */
  readonly clients = new Clients();
  readonly #host: ConnectionHost;
  readonly #log: Logger;
  readonly #byName = new Map<string, Served>();
  readonly #byPath = new Map<string, Served>();
  readonly #connections = new Set<Connection>();
  #draining = false;
  #drained: (() => void)[] = [];
  #inFlight = 0;
  #served = 0;

  constructor(options: WebSocketServerOptions) {
    this.#log = options.log;
    this.#host = this.#hostOf(options);
  }

  /** Open connections, logged in or not. */
  get sockets(): number {
    return this.#connections.size;
  }

  /** Calls that were taken and not answered yet. */
  get inFlight(): number {
    return this.#inFlight;
  }

  /** Calls that are done, since the start. */
  get served(): number {
    return this.#served;
  }

  /** From now on exactly these channels are served. Clients of one that is gone or changed are disconnected. */
  update(definitions: Iterable<WebSocketDefinition>): void {
    const wanted = new Map<string, WebSocketSpec>();
    for (const { name, spec } of definitions) if (spec.enabled) wanted.set(name, spec);
    for (const [name, served] of [...this.#byName]) {
      if (wanted.get(name) !== served.spec) this.#retire(name, served);
    }
    for (const [name, spec] of wanted) if (!this.#byName.has(name)) this.#add(name, spec);
  }

  /** Takes the upgrades of a server. Gives what ends that. */
  attach(server: Server): () => void {
    const listener = (req: IncomingMessage, socket: Duplex, head: Buffer) => {
      if (wantsWebSocket(req)) this.#upgrade(server, req, { socket, head });
      else backToHttp(server, req, socket, head);
    };
    server.on('upgrade', listener);
    return () => server.off('upgrade', listener);
  }

  /** Answers a plain request at a WebSocket channel's path; false at any other. */
  readonly handle = (req: IncomingMessage, res: ServerResponse): boolean => {
    if (!this.#byPath.has(pathOf(req.url ?? '/'))) return false;
    const body = refusalBody(400);
    const length = Buffer.byteLength(body);
    // What the request has of a body is not read.
    const headers = ['Content-Type', 'application/json', 'Content-Length', String(length)];
    res.writeHead(400, [...headers, 'Connection', 'close']).end(body);
    return true;
  };

  /** Nothing more is taken; resolves when every call is answered and every client disconnected. */
  drain(): Promise<void> {
    this.#draining = true;
    const drained = new Promise<void>((resolve) => this.#drained.push(resolve));
    for (const connection of [...this.#connections]) connection.drain();
    this.#resolveDrained();
    return drained;
  }

  #hostOf({
    invoke,
    authenticator,
    log,
    limits,
    ...others
  }: WebSocketServerOptions): ConnectionHost {
    const { gatewayServices = {}, hooks = {} } = others;
    const services = new Map<string, GatewayService>([
      ['zato.ping', async () => ({ pong: 'zato' })],
      ...Object.entries(gatewayServices),
    ]);
    const draining = () => this.#draining;
    return {
      authenticator,
      log,
      hooks,
      limits: { ...defaultLimits, ...limits },
      get draining() {
        return draining();
      },
      invoke,
      gatewayService: (name) => services.get(name),
      broadcast: (channel, request) => this.clients.broadcast(channel, request),
      opened: (session) => this.#opened(session, hooks),
      closed: (connection, session) => this.#closed(connection, session),
      callBegun: () => {
        this.#inFlight++;
      },
      callEnded: () => {
        this.#inFlight--;
        this.#served++;
      },
    };
  }

  #upgrade(
    server: Server,
    req: IncomingMessage,
    { socket, head }: { readonly socket: Duplex; readonly head: Buffer },
  ): void {
    const served = this.#byPath.get(pathOf(req.url ?? '/'));
    if (served === undefined) refuseUpgrade(socket, 404);
    else if (this.#draining || served.connections.size >= served.channel.maxConnections) {
      refuseUpgrade(socket, 503);
    } else {
      served.channel.upgrader.handleUpgrade(req, socket, head, (webSocket) => {
        const connection = new Connection(this.#host, served.channel, {
          socket: webSocket,
          stream: socket,
        });
        this.#connections.add(connection);
        served.connections.add(connection);
        makeRoom(server, webSocket);
      });
    }
  }

  #add(name: string, spec: WebSocketSpec): void {
    try {
      const channel = channelOf(name, spec);
      channel.upgrader.on('wsClientError', (_error, socket) => refuseUpgrade(socket, 400));
      const served = { spec, channel, connections: new Set<Connection>() };
      this.#byName.set(name, served);
      this.#byPath.set(channel.path, served);
    } catch (error) {
      this.#log.error('channel not served', { channel: name, error });
    }
  }

  #retire(name: string, served: Served): void {
    this.#byName.delete(name);
    if (this.#byPath.get(served.channel.path) === served) this.#byPath.delete(served.channel.path);
    for (const connection of [...served.connections]) {
      connection.close(closeCode.disconnected, 'The channel has changed');
    }
  }

  #opened(session: Session, hooks: SessionHooks): void {
    this.clients.add(session);
    if (this.#log.debugging) this.#log.debug('client logged in', factsOf(session));
    hooks.opened?.(session);
  }

  #closed(connection: Connection, session: Session | undefined): void {
    this.#connections.delete(connection);
    this.#byName.get(connection.channel.name)?.connections.delete(connection);
    if (session) {
      this.clients.remove(session);
      if (this.#log.debugging) this.#log.debug('client left', factsOf(session));
    }
    this.#resolveDrained();
  }

  #resolveDrained(): void {
    if (!this.#draining || this.#connections.size > 0) return;
    for (const resolve of this.#drained.splice(0)) resolve();
  }
}

/** HTTP's limit of connections is not for these, which have their own. */
function makeRoom(
  server: Server,
  webSocket: { once(event: 'close', then: () => void): void },
): void {
  server.maxConnections++;
  webSocket.once('close', () => {
    server.maxConnections--;
  });
}

function factsOf({ id, channel, clientId, security }: WsxSession): Record<string, unknown> {
  return { channel, client: id, clientId, security };
}

import { once } from 'node:events';
import type { Server } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { expect } from 'chai';
import { WebSocket } from 'ws';
import { ChannelServer } from '../../../channels/http/channel-server.ts';
import { type ChannelSpec, channelType } from '../../../channels/http/definition.ts';
import { createHttpServer } from '../../../channels/http/http-server.ts';
import { type WebSocketSpec, webSocketType } from '../../../channels/websocket/definition.ts';
import {
  WebSocketServer,
  type WebSocketServerOptions,
} from '../../../channels/websocket/websocket-server.ts';
import { Authenticator } from '../../../runtime/security/authenticator.ts';
import { securityType } from '../../../runtime/security/basic-definition.ts';
import { PasswordHasher } from '../../../runtime/security/password.ts';
import type { Call, Reply } from '../../../runtime/service/call.ts';
import type { WsxSession } from '../../../runtime/service/wsx.ts';
import { type CollectingLog, collectingLog } from '../../support/collecting-log.ts';

type Given = Record<string, unknown>;

export function channel(name: string, given: Given): { name: string; spec: WebSocketSpec } {
  const kind = given['gateway'] === true ? {} : { service: 'test.echo' };
  return { name, spec: webSocketType().schema.parse({ type: 'websocket', ...kind, ...given }) };
}

export function reply(payload: unknown, rest: Partial<Reply> = {}): Reply {
  return { payload, statusCode: 200, headers: {}, contentType: undefined, ...rest };
}

export interface World {
  readonly port: number;
  readonly server: Server;
  readonly sockets: WebSocketServer;
  readonly authenticator: Authenticator;
  readonly calls: Call[];
  readonly log: CollectingLog;
  /** Sessions in the order of their logins. */
  readonly sessions: WsxSession[];
}

interface WorldOptions
  extends Pick<WebSocketServerOptions, 'gatewayServices' | 'hooks' | 'limits'> {
  readonly channels?: Readonly<Record<string, Given>>;
  readonly http?: Readonly<Record<string, Given>>;
  readonly service?: (call: Call) => Reply | Promise<Reply>;
}

const open: World[] = [];
const clients = new Set<Client>();

/** A server on a free port whose services answer with their input, unless told otherwise. */
export async function serving(options: WorldOptions = {}): Promise<World> {
  const calls: Call[] = [];
  const sessions: WsxSession[] = [];
  const log = collectingLog();
  const authenticator = new Authenticator(new PasswordHasher());
  const service = options.service ?? ((call: Call) => reply(call.input ?? null));
  const invoke = async (call: Call) => {
    calls.push(call);
    return service(call);
  };
  const sockets = new WebSocketServer({
    invoke,
    authenticator,
    log,
    ...(options.gatewayServices ? { gatewayServices: options.gatewayServices } : {}),
    ...(options.limits ? { limits: options.limits } : {}),
    hooks: {
      ...options.hooks,
      opened: (session) => {
        sessions.push(session);
        options.hooks?.opened?.(session);
      },
    },
  });
  const channels = new ChannelServer({ invoke, authenticator, log, fallback: sockets.handle });
  channels.update(Object.entries(options.http ?? {}).map(([name, spec]) => http(name, spec)));
  const given = Object.entries(options.channels ?? { echo: { path: '/ws' } });
  sockets.update(given.map(([name, spec]) => channel(name, spec)));
  const server = createHttpServer(channels.handle);
  sockets.attach(server);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const world = { port, server, sockets, authenticator, calls, log, sessions };
  open.push(world);
  return world;
}

function http(name: string, given: Given): { name: string; spec: ChannelSpec } {
  return { name, spec: channelType().schema.parse({ service: 'test.echo', ...given }) };
}

/** Lets `username` in with `password`, under the security definition of that name. */
export async function admit(
  world: World,
  users: Readonly<Record<string, { username: string; password: string }>>,
): Promise<void> {
  const type = securityType(new PasswordHasher());
  const definitions = await Promise.all(
    Object.entries(users).map(async ([name, user]) => ({
      name,
      spec: await type.seal(name, type.schema.parse(user), undefined),
    })),
  );
  world.authenticator.update(definitions);
}

export async function stopAll(): Promise<void> {
  for (const client of clients) client.socket.terminate();
  clients.clear();
  await Promise.all(
    open.splice(0).map(async ({ server, sockets }) => {
      const closed = once(server, 'close');
      server.close();
      server.closeAllConnections();
      await sockets.drain();
      await closed;
    }),
  );
}

export interface Frame {
  readonly meta: Readonly<Record<string, unknown>> & {
    readonly id: string;
    readonly timestamp: string;
    readonly msg_type: string;
    readonly status?: number;
    readonly in_reply_to?: string;
    readonly error_message?: string;
  };
  readonly data?: unknown;
}

/** Of a frame without what differs each time. */
export function gist({ meta: { id: _, timestamp: __, ...meta }, data }: Frame): unknown {
  return data === undefined ? { meta } : { meta, data };
}

export interface Closing {
  readonly code: number;
  readonly reason: string;
}

/** A real client that keeps what it gets until it is asked. */
export class Client {
  readonly socket: WebSocket;
  readonly closed: Promise<Closing>;
  readonly frames: Frame[] = [];
  token: string | undefined;
  #wake: (() => void) | undefined;
  #id = 0;

  static async open(world: World, path = '/ws', options: object = {}): Promise<Client> {
    const client = new Client(
      new WebSocket(`ws://127.0.0.1:${world.port}${path}`, {
        perMessageDeflate: false,
        ...options,
      }),
    );
    await once(client.socket, 'open');
    return client;
  }

  static async loggedIn(world: World, path = '/ws', meta: Given = {}): Promise<Client> {
    const client = await Client.open(world, path);
    await client.login(meta);
    return client;
  }

  constructor(socket: WebSocket) {
    this.socket = socket;
    clients.add(this);
    socket.on('error', () => undefined);
    socket.on('message', (data) => {
      this.frames.push(JSON.parse(String(data)) as Frame);
      this.#wake?.();
    });
    this.closed = once(socket, 'close').then(([code, reason]) => {
      clients.delete(this);
      this.#wake?.();
      return { code: code as number, reason: String(reason) };
    });
  }

  /** The next frame; fails when the connection ends first. */
  async next(): Promise<Frame> {
    while (this.frames.length === 0) {
      if (this.socket.readyState === WebSocket.CLOSED) throw new Error('The connection is closed');
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    return this.frames.shift() as Frame;
  }

  send(action: string | undefined, meta: Given = {}, data?: unknown): string {
    const id = String(meta['id'] ?? `zwsxc.${++this.#id}`);
    const all = {
      ...(action === undefined ? {} : { action }),
      id,
      timestamp: '2023-01-01T00:00:00.000000',
      ...(this.token === undefined ? {} : { token: this.token }),
      ...meta,
    };
    this.socket.send(JSON.stringify(data === undefined ? { meta: all } : { meta: all, data }));
    return id;
  }

  async login(meta: Given = {}): Promise<Frame> {
    this.send('create-session', { client_id: 'c1', client_name: 'My client', ...meta }, {});
    const frame = await this.next();
    expect(frame.meta.msg_type, JSON.stringify(frame)).to.equal('zwsx.rspa');
    this.token = (frame.data as { token: string }).token;
    return frame;
  }

  /** Calls the service and gives the frame that answers. */
  async invoke(data?: unknown, meta: Given = {}): Promise<Frame> {
    const id = this.send('invoke-service', meta, data);
    const frame = await this.next();
    expect(frame.meta.in_reply_to).to.equal(id);
    return frame;
  }

  close(): Promise<Closing> {
    this.socket.close();
    return this.closed;
  }
}

/** Sends bytes as they are, and gives all that came back until the server closed. */
export async function sendRaw({ port }: World, ...parts: (string | Buffer)[]): Promise<string> {
  const socket = connect(port, '127.0.0.1');
  const text = readAll(socket);
  for (const part of parts) socket.write(part);
  return await text;
}

function readAll(socket: Socket): Promise<string> {
  let text = '';
  socket.on('data', (chunk) => {
    text += chunk.toString('latin1');
  });
  return new Promise((resolve) => {
    socket.on('error', () => resolve(text)).on('close', () => resolve(text));
  });
}

export function handshake(path: string, headers: Readonly<Record<string, string>> = {}): string {
  const all = {
    Host: 'here',
    Upgrade: 'websocket',
    Connection: 'Upgrade',
    'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ==',
    'Sec-WebSocket-Version': '13',
    ...headers,
  };
  const lines = Object.entries(all).filter(([, value]) => value !== '');
  return `GET ${path} HTTP/1.1\r\n${lines.map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n`;
}

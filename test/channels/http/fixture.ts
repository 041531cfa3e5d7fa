import { once } from 'node:events';
import { type IncomingHttpHeaders, request, type Server } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { ChannelServer, type ChannelServerOptions } from '../../../channels/http/channel-server.ts';
import { type ChannelSpec, channelType } from '../../../channels/http/definition.ts';
import { createHttpServer, type HttpServerTimeouts } from '../../../channels/http/http-server.ts';
import { Authenticator } from '../../../runtime/security/authenticator.ts';
import { PasswordHasher } from '../../../runtime/security/password.ts';
import type { Call, Reply } from '../../../runtime/service/call.ts';
import { type CollectingLog, collectingLog } from '../../support/collecting-log.ts';

/** A spec as an administrator writes it. */
export type Given = Record<string, unknown>;

export function channel(name: string, given: Given): { name: string; spec: ChannelSpec } {
  return { name, spec: channelType().schema.parse({ service: 'test.echo', ...given }) };
}

export function reply(payload: unknown, rest: Partial<Reply> = {}): Reply {
  return { payload, statusCode: 200, headers: {}, contentType: undefined, ...rest };
}

export interface World {
  readonly port: number;
  readonly server: Server;
  readonly channels: ChannelServer;
  readonly authenticator: Authenticator;
  /** The calls of services, in turn. */
  readonly calls: Call[];
  readonly log: CollectingLog;
}

export interface WorldOptions {
  readonly channels?: Readonly<Record<string, Given>>;
  readonly service?: (call: Call) => Reply | Promise<Reply>;
  readonly timeouts?: HttpServerTimeouts;
  readonly fallback?: ChannelServerOptions['fallback'];
}

const open: World[] = [];

/** A server on a free port whose services answer with their input, unless told otherwise. */
export async function serving(options: WorldOptions = {}): Promise<World> {
  const calls: Call[] = [];
  const log = collectingLog();
  const authenticator = new Authenticator(new PasswordHasher());
  const service = options.service ?? ((call: Call) => reply(call.input ?? null));
  const channels = new ChannelServer({
    authenticator,
    log,
    invoke: async (call) => {
      calls.push(call);
      return service(call);
    },
    ...(options.fallback ? { fallback: options.fallback } : {}),
  });
  const given = Object.entries(options.channels ?? { echo: { path: '/echo' } });
  channels.update(given.map(([name, spec]) => channel(name, spec)));
  const server = createHttpServer(channels.handle, options.timeouts);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const world = { port, server, channels, authenticator, calls, log };
  open.push(world);
  return world;
}

export async function stopAll(): Promise<void> {
  await Promise.all(
    open.splice(0).map(async ({ server }) => {
      const closed = once(server, 'close');
      server.close();
      server.closeAllConnections();
      await closed;
    }),
  );
}

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
  readonly text: string;
  json(): unknown;
}

export interface Question {
  readonly body?: string | Buffer;
  readonly headers?: Readonly<Record<string, string>>;
}

/** One request on a connection of its own. */
export function ask(
  { port }: World,
  method: string,
  path: string,
  { body, headers = {} }: Question = {},
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const req = request({ port, host: '127.0.0.1', method, path, headers, agent: false });
    req.on('error', reject).on('response', (res) => {
      const chunks: Buffer[] = [];
      res.on('error', reject).on('data', (chunk: Buffer) => chunks.push(chunk));
      res.on('end', () => {
        const all = Buffer.concat(chunks);
        const text = all.toString('utf8');
        const { statusCode: status = 0, headers: got } = res;
        resolve({ status, headers: got, body: all, text, json: () => JSON.parse(text) });
      });
    });
    req.end(body);
  });
}

export interface RawAnswer {
  readonly text: string;
  readonly ms: number;
}

/** Sends bytes as they are, and gives all that came back until the server closed. */
export async function sendRaw({ port }: World, ...parts: (string | Buffer)[]): Promise<RawAnswer> {
  const startedAt = performance.now();
  const socket = connect(port, '127.0.0.1');
  const text = readAll(socket);
  await once(socket, 'connect');
  for (const part of parts) socket.write(part);
  return { text: await text, ms: performance.now() - startedAt };
}

async function readAll(socket: Socket): Promise<string> {
  let text = '';
  socket.on('data', (chunk) => {
    text += chunk.toString('latin1');
  });
  // A reset after the answer is an end as well.
  await new Promise<void>((resolve) =>
    socket.on('error', () => resolve()).on('close', () => resolve()),
  );
  return text;
}

/** The JSON after the last head of a raw answer. */
export function bodyOf(text: string): { error: { code: string; message: string }; cid: string } {
  return JSON.parse(text.slice(text.lastIndexOf('\r\n\r\n') + 4));
}

import { randomBytes } from 'node:crypto';
import { createServer as createHttpServer, type RequestListener } from 'node:http';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import type { Clock } from '../../outgoing/http/clock.ts';
import { type ConnectionOptions, OutgoingConnection } from '../../outgoing/http/connection.ts';
import { type OutgoingSpec, outgoingType } from '../../outgoing/http/definition.ts';
import { Sealer } from '../../runtime/security/sealer.ts';
import { type CollectingLog, collectingLog } from '../support/collecting-log.ts';

export const sealer = new Sealer(randomBytes(32));

/** How a definition names an environment variable. */
export function env(variable: string): string {
  return `\${env:${variable}}`;
}

/** A whole spec from a few keys. */
export function spec(given: Record<string, unknown>): OutgoingSpec {
  return outgoingType(sealer).schema.parse(given);
}

export interface RunningServer {
  readonly url: string;
  readonly sockets: ReadonlySet<Socket>;
  /** Sockets accepted since the start. */
  readonly accepted: () => number;
  stop(): Promise<void>;
}

/** A server that does to each socket whatever the test says. */
export function hostile(treat: (socket: Socket) => void): Promise<RunningServer> {
  return running(createServer(treat));
}

/** Answers each request's first bytes with the text as it is. */
export function answering(
  text: string,
  then: (socket: Socket) => void = () => {},
): Promise<RunningServer> {
  return hostile((socket) =>
    socket.once('data', () => {
      socket.write(text, 'latin1');
      then(socket);
    }),
  );
}

export function httpServer(listener: RequestListener): Promise<RunningServer> {
  return running(createHttpServer(listener));
}

async function running(server: Server): Promise<RunningServer> {
  const sockets = new Set<Socket>();
  let accepted = 0;
  server.on('connection', (socket: Socket) => {
    accepted++;
    sockets.add(socket);
    socket.on('error', () => {});
    socket.once('close', () => sockets.delete(socket));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    sockets,
    accepted: () => accepted,
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const socket of sockets) socket.destroy();
      }),
  };
}

/** A URL that nobody listens on. */
export async function deadUrl(): Promise<string> {
  const server = await hostile(() => {});
  await server.stop();
  return server.url;
}

/** A clock that stands still but for waits, which pass at once and are written down. */
export interface SteppedClock extends Clock {
  readonly waits: readonly number[];
  advance(ms: number): void;
}

export function steppedClock(start = Date.UTC(2026, 0, 15)): SteppedClock {
  const waits: number[] = [];
  let now = start;
  return {
    waits,
    now: () => now,
    random: () => 0,
    advance: (ms) => {
      now += ms;
    },
    wait: async (ms) => {
      waits.push(ms);
      now += ms;
    },
  };
}

export interface Made {
  readonly connection: OutgoingConnection;
  readonly log: CollectingLog;
}

export function connect(
  given: Record<string, unknown>,
  options: Partial<ConnectionOptions> & { readonly name?: string } = {},
): Made {
  const log = collectingLog();
  const { name = 'crm', ...more } = options;
  const all: ConnectionOptions = { sealer, log, standinUrl: () => undefined, ...more };
  return { log, connection: new OutgoingConnection(name, spec(given), all) };
}

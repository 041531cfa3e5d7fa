import { createServer, type RequestListener, type Server, type ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { newCid } from '../../runtime/core/cid.ts';
import type { Fault } from '../../runtime/core/fault.ts';
import { HttpFault } from './http-fault.ts';
import { faultBody } from './send.ts';

/** All in ms, and short enough that a slow client does not hold a connection for long. */
export interface HttpServerTimeouts {
  /** How long the headers may take. */
  readonly headersTimeout?: number;
  /** How long the whole request may take to come in. */
  readonly requestTimeout?: number;
  /** How long a connection may stay idle. */
  readonly keepAliveTimeout?: number;
  /** How often the first two are looked at: they act this much late. */
  readonly connectionsCheckingInterval?: number;
}

const timeouts: Required<HttpServerTimeouts> = {
  headersTimeout: 10_000,
  requestTimeout: 30_000,
  keepAliveTimeout: 65_000,
  connectionsCheckingInterval: 500,
};
const maxHeaderBytes = 16_384;
const maxHeaders = 100;
const maxConnections = 2_000;
const maxRequestsPerConnection = 10_000;

const malformed: Readonly<Record<string, readonly [number, Fault['code'], string]>> = {
  HPE_HEADER_OVERFLOW: [431, 'too-large', `The headers are longer than ${maxHeaderBytes} bytes`],
  HPE_CHUNK_EXTENSIONS_OVERFLOW: [413, 'too-large', 'The chunk extensions are too long'],
  ERR_HTTP_REQUEST_TIMEOUT: [408, 'timeout', 'The request did not come in in time'],
};

/** A server with limits on what a client may cost; it is not listening yet. */
export function createHttpServer(
  listener: RequestListener,
  options: HttpServerTimeouts = {},
): Server {
  const server = createServer(
    {
      ...timeouts,
      ...options,
      maxHeaderSize: maxHeaderBytes,
      // Answered by the listener, with a body.
      requireHostHeader: false,
      noDelay: true,
    },
    listener,
  );
  // Node drops the headers over its maximum silently: one more, and the listener sees it.
  server.maxHeadersCount = maxHeaders + 1;
  server.maxConnections = maxConnections;
  server.maxRequestsPerSocket = maxRequestsPerConnection;
  server.on('clientError', refuse);
  return server;
}

function refuse(error: Error, socket: Duplex): void {
  if (!socket.writable || codeOf(error) === 'ECONNRESET' || answering(socket)) {
    socket.destroy();
    return;
  }
  const [status, code, message] = malformed[codeOf(error)] ?? [400, 'bad-request', 'Not HTTP/1.1'];
  const cid = newCid();
  const body = faultBody(new HttpFault(status, code, message), cid);
  const lines = [
    `HTTP/1.1 ${status} ${reasons[status] ?? 'Bad Request'}`,
    `Content-Length: ${Buffer.byteLength(body)}`,
    'Content-Type: application/json',
    `X-Hence-CID: ${cid}`,
    'Connection: close',
  ];
  socket.end(`${lines.join('\r\n')}\r\n\r\n${body}`, () => socket.destroy());
}

const reasons: Readonly<Record<number, string>> = {
  408: 'Request Timeout',
  413: 'Payload Too Large',
  431: 'Request Header Fields Too Large',
};

/** Whether a reply has begun on this connection: a second one would be taken for its rest. */
function answering(socket: Duplex): boolean {
  const { _httpMessage: message } = socket as { _httpMessage?: ServerResponse | null };
  return message?.headersSent === true;
}

function codeOf(error: Error): string {
  return 'code' in error && typeof error.code === 'string' ? error.code : '';
}

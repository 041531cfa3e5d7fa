import type { IncomingMessage, Server } from 'node:http';
import type { Duplex } from 'node:stream';
import { newCid } from '../../runtime/core/cid.ts';

type Refusal = 400 | 404 | 503;

const reasons = { 400: 'Bad Request', 404: 'Not Found', 503: 'Service Unavailable' } as const;
const errors = { 400: 'Bad request', 404: 'Not found', 503: 'Service unavailable' } as const;

/** The body of Zato's refusals of a handshake. */
export function refusalBody(status: Refusal): string {
  return JSON.stringify({ error: errors[status] });
}

/** Answers a handshake that is not taken. */
export function refuseUpgrade(socket: Duplex, status: Refusal): void {
  const body = refusalBody(status);
  const lines = [
    `HTTP/1.1 ${status} ${reasons[status]}`,
    'Content-Type: application/json',
    `Content-Length: ${Buffer.byteLength(body)}`,
    `X-Hence-CID: ${newCid()}`,
    'Connection: close',
  ];
  socket.on('error', () => socket.destroy());
  socket.once('finish', () => socket.destroy());
  socket.end(`${lines.join('\r\n')}\r\n\r\n${body}`);
}

/** Whether a request that wants another protocol wants ours. */
export function wantsWebSocket({ headers }: IncomingMessage): boolean {
  return (headers.upgrade ?? '').toLowerCase() === 'websocket';
}

/**
 * Gives a request back to HTTP. A client may offer another protocol (curl's `--http2` offers h2c) and
 * take plain HTTP for an answer; but once a server listens for upgrades, Node takes each of them away
 * from the request listener, its body unread.
 */
export function backToHttp(
  server: Server,
  req: IncomingMessage,
  socket: Duplex,
  head: Buffer,
): void {
  const lines = [`${req.method} ${req.url} HTTP/${req.httpVersion}`];
  for (let at = 0; at < req.rawHeaders.length; at += 2) {
    const name = req.rawHeaders[at] ?? '';
    const value = req.rawHeaders[at + 1] ?? '';
    const kept = name.toLowerCase() === 'connection' ? withoutUpgrade(value) : value;
    if (name.toLowerCase() !== 'upgrade' && kept !== '') lines.push(`${name}: ${kept}`);
  }
  socket.unshift(Buffer.concat([Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1'), head]));
  server.emit('connection', socket);
}

function withoutUpgrade(connection: string): string {
  const options = connection.split(',').map((option) => option.trim());
  return options.filter((option) => option.toLowerCase() !== 'upgrade').join(', ');
}

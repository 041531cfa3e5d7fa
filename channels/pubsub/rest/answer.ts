import type { IncomingMessage, ServerResponse } from 'node:http';
import { hasBody } from './body.ts';

/** A reply ready to be written. */
export interface Answer {
  readonly status: number;
  readonly body: string | Buffer;
  readonly type: string;
  /** Names and values in turn. */
  readonly headers: readonly string[];
}

export const jsonType = 'application/json';
/** A body shorter than this is read and thrown away, so that the connection can go on. */
const smallBodyBytes = 65_536;
const lingerMs = 1_000;
const lingerBytes = 32 * 1_048_576;
const tooLarge = 413;

export function jsonAnswer(body: string | Buffer): Answer {
  return { status: 200, body, type: jsonType, headers: [] };
}

/** Answers at any point of the request. */
export function write(req: IncomingMessage, res: ServerResponse, answer: Answer): void {
  const { status, body, type, headers } = answer;
  const length = typeof body === 'string' ? Buffer.byteLength(body) : body.length;
  const head = ['Content-Type', type, 'Content-Length', String(length), ...headers];
  if (unread(req, status)) {
    writeAndLinger(req, res, { ...answer, headers: head });
    return;
  }
  res.writeHead(status, head);
  res.end(body);
}

/** Whether a reply gets out to its last byte: to the system, which is as far as we can see. */
export function wholeOf({ socket }: IncomingMessage, res: ServerResponse): Promise<boolean> {
  if (res.destroyed) return Promise.resolve(false);
  return new Promise((resolve) => {
    // A write that a reset ends "finishes" too.
    res.once('finish', () => resolve(!socket.destroyed && !socket.errored));
    res.once('close', () => resolve(false));
  });
}

function unread(req: IncomingMessage, status: number): boolean {
  if (req.complete || !hasBody(req)) return false;
  if (status === tooLarge) return true;
  const length = req.headers['content-length'];
  return length === undefined || Number(length) > smallBodyBytes;
}

/**
 * Answers a request that is still being sent, and closes. Closing at once would reset the connection,
 * and the client would never see the answer.
 */
function writeAndLinger(
  req: IncomingMessage,
  res: ServerResponse,
  { status, body, headers }: Answer,
): void {
  res.shouldKeepAlive = false;
  res.writeHead(status, [...headers]);
  if (req.method === 'HEAD') res.flushHeaders();
  else res.write(body);
  let left = lingerBytes;
  const close = () => {
    clearTimeout(timer);
    res.end();
  };
  const timer = setTimeout(close, lingerMs);
  req.once('end', close).once('close', close);
  req.on('data', (chunk: Buffer) => {
    left -= chunk.length;
    if (left < 0) close();
  });
  req.resume();
}

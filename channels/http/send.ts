import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Fault } from '../../runtime/core/fault.ts';
import { hasBody } from './body.ts';
import type { Encoded } from './encode.ts';
import { statusOf } from './http-fault.ts';

/** A body shorter than this is read and thrown away, so that the connection can go on. */
const smallBodyBytes = 65_536;
const lingerMs = 1_000;
const lingerBytes = 32 * 1_048_576;

/** Answers, when the request has been read. */
export function send(res: ServerResponse, { status, headers, body }: Encoded): void {
  res.writeHead(status, headers);
  res.end(body);
}

/** Answers with a Fault, at any point of the request. */
export function sendFault(
  req: IncomingMessage,
  res: ServerResponse,
  fault: Fault,
  cid: string,
  extra: readonly string[],
): void {
  const body = faultBody(fault, cid);
  const headers = [
    'X-Hence-CID',
    cid,
    'Content-Length',
    String(Buffer.byteLength(body)),
    'Content-Type',
    'application/json',
    ...extra,
  ];
  if (fault.retryAfterMs !== undefined) {
    headers.push('Retry-After', String(Math.ceil(fault.retryAfterMs / 1_000)));
  }
  const encoded = { status: statusOf(fault), headers, body };
  if (unread(req, fault)) sendAndLinger(req, res, encoded);
  else send(res, encoded);
}

/** The body of every error this door answers. */
export function faultBody({ code, message, details }: Fault, cid: string): string {
  const error = { code, message };
  // What went wrong inside is for the log.
  const shown = code === 'internal' || details === undefined ? undefined : safeDetails(details);
  return JSON.stringify({ error: shown === undefined ? error : { ...error, details: shown }, cid });
}

function safeDetails(details: unknown): unknown {
  try {
    JSON.stringify(details);
    return details;
  } catch {
    return undefined;
  }
}

function unread(req: IncomingMessage, fault: Fault): boolean {
  if (req.complete || !hasBody(req)) return false;
  if (fault.code === 'too-large') return true;
  const length = req.headers['content-length'];
  return length === undefined || Number(length) > smallBodyBytes;
}

/**
 * Answers a request that is still being sent, and closes. Closing at once would reset the
 * connection, and the client would never see the answer.
 */
function sendAndLinger(
  req: IncomingMessage,
  res: ServerResponse,
  { status, headers, body }: Encoded,
): void {
  res.shouldKeepAlive = false;
  res.writeHead(status, headers);
  if (body === undefined || req.method === 'HEAD') res.flushHeaders();
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

import { type IncomingMessage, type ServerResponse, STATUS_CODES } from 'node:http';
import type { Fault, FaultCode } from '../../../runtime/core/fault.ts';
import { hasBody } from './body.ts';

/** A reply ready to be written. */
export interface Answer {
  readonly status: number;
  readonly body: string | Buffer;
  readonly type: string;
  /** Names and values in turn. */
  readonly headers: readonly string[];
}

const json = 'application/json';
/** A body shorter than this is read and thrown away, so that the connection can go on. */
const smallBodyBytes = 65_536;
const lingerMs = 1_000;
const lingerBytes = 32 * 1_048_576;

const statuses = {
  'bad-request': 400,
  unauthorized: 401,
  forbidden: 403,
  'not-found': 404,
  'method-not-allowed': 405,
  conflict: 422,
  'too-large': 413,
  'too-many': 429,
  timeout: 503,
  unavailable: 503,
  internal: 500,
} as const satisfies Record<FaultCode, number>;

export function jsonAnswer(body: string | Buffer): Answer {
  return { status: 200, body, type: json, headers: [] };
}

/** What Zato 4 says of a URL that nothing serves. */
export function unknownUrl(cid: string): Answer {
  const body = `URL not found (CID:${cid})`;
  return { status: 404, body, type: 'text/plain; charset=utf-8', headers: [] };
}

/** @param challenge What goes with a 401. */
export function faultAnswer(fault: Fault, cid: string, challenge: string): Answer {
  const status = statuses[fault.code];
  const headers = headersOf(fault, challenge);
  return { status, body: JSON.stringify(bodyOf(fault, cid)), type: json, headers };
}

/** Two refusals come from Zato's server before its pub/sub is asked, and look otherwise. */
function bodyOf(fault: Fault, cid: string): unknown {
  if (fault.code === 'method-not-allowed') {
    return { result: 'Error', cid, details: 'Unsupported HTTP method' };
  }
  if (fault.code === 'too-many') return { result: 'Error', cid, details: 'Too many requests' };
  return { is_ok: false, cid, details: detailsOf(fault), status: statusText(statuses[fault.code]) };
}

function detailsOf({ code, message, details }: Fault): string {
  // What went wrong inside is for the log.
  if (code === 'internal') return 'An error has occurred';
  return reasonOf(details) === storageWatermark ? storageWatermark : message;
}

const storageWatermark = 'storage watermark';

function reasonOf(details: unknown): unknown {
  return typeof details === 'object' && details !== null && 'reason' in details
    ? details.reason
    : undefined;
}

function headersOf({ code, retryAfterMs }: Fault, challenge: string): readonly string[] {
  if (code === 'unauthorized') return ['WWW-Authenticate', challenge];
  if (code === 'method-not-allowed') return ['Allow', 'POST'];
  if (retryAfterMs === undefined) return [];
  // Zato 4 says when, not how long.
  if (code === 'too-many')
    return ['Retry-After', new Date(Date.now() + retryAfterMs).toUTCString()];
  return ['Retry-After', String(Math.ceil(retryAfterMs / 1_000))];
}

function statusText(status: number): string {
  return `${status} ${STATUS_CODES[status]}`;
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

function unread(req: IncomingMessage, status: number): boolean {
  if (req.complete || !hasBody(req)) return false;
  if (status === statuses['too-large']) return true;
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

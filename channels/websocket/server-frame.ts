import { Fault, type FaultCode } from '../../runtime/core/fault.ts';
import { httpStatus } from '../../runtime/core/http-status.ts';
import { toJson } from '../../runtime/core/to-json.ts';
import { InputFault } from '../../runtime/service/io.ts';

/*
 * The frames of Zato 3.2 (SRV/connection/web_socket/msg.py), as text: the envelope is put together by
 * hand because it is the same for every frame.
 */

const unauthorized = 'You are not authorized to access this resource';

/** What a failed call is called; a Fault whose own sentence is for the client has none. */
const sentences = {
  'bad-request': undefined,
  unauthorized: undefined,
  forbidden: undefined,
  'not-found': undefined,
  'method-not-allowed': undefined,
  conflict: undefined,
  'too-large': undefined,
  'too-many': undefined,
  timeout: undefined,
  unavailable: undefined,
  internal: 'Internal server error',
} as const satisfies Record<FaultCode, string | undefined>;

/** The last timestamp that was written: most frames come several a millisecond. */
const last = { ms: Number.NaN, text: '' };

/** `YYYY-MM-DDTHH:MM:SS.ffffff`, UTC. */
function timestamp(): string {
  const ms = Date.now();
  if (ms !== last.ms) {
    last.ms = ms;
    last.text = `${new Date(ms).toISOString().slice(0, -1)}000`;
  }
  return last.text;
}

export function tokenFrame(cid: string, inReplyTo: string, token: string): string {
  return `${head(cid, 'zwsx.rspa')}${reply(200, inReplyTo)}},"data":{"token":"${token}"}}`;
}

/** @throws Fault `internal` when the payload cannot be said in JSON. */
export function replyFrame(
  cid: string,
  inReplyTo: string,
  { status, payload }: { readonly status: number; readonly payload: unknown },
): string {
  const start = `${head(cid, 'zwsx.rspok')}${reply(status, inReplyTo)}}`;
  return isEmpty(payload) ? `${start}}` : `${start},"data":${textOf(payload)}}`;
}

export function faultFrame(cid: string, inReplyTo: string, fault: Fault): string {
  const message = fault instanceof InputFault ? 'I/O processing error' : sentenceOf(fault);
  // What went wrong inside is for the log.
  const details = fault.code === 'internal' ? undefined : safeText(fault.details);
  return errorReply(
    { cid, inReplyTo, status: httpStatus[fault.code], message },
    details === undefined ? '' : `,"details":${details}`,
  );
}

export function invalidUtf8Frame(): string {
  const facts = { cid: '<no-cid>', inReplyTo: '<no-msg-id>', status: 422 };
  return errorReply({ ...facts, message: 'Invalid UTF-8 bytes' }, '');
}

/** Not a reply to anything. */
export function errorFrame(cid: string, fault: Fault): string {
  const data = fault.code === 'unauthorized' ? unauthorized : sentenceOf(fault);
  const status = fault.code === 'unauthorized' ? 403 : httpStatus[fault.code];
  return `${head(cid, 'zwsx.merr')},"status":${status}},"data":${JSON.stringify(data)}}`;
}

/** @throws Fault `bad-request` when the request cannot be said in JSON. */
export function requestFrame(cid: string, request: unknown): string {
  const data = request === undefined ? null : request;
  try {
    return `${head(cid, 'zwsx.rqc')}},"data":${toJson(data)}}`;
  } catch (cause) {
    throw new Fault('bad-request', 'The request to the client cannot be said in JSON', { cause });
  }
}

/** At most 125 bytes: all that a ping can carry. */
export function pingPayload(cid: string): string {
  return `${head(cid, 'zwsx.rqc')}}}`;
}

function errorReply({ cid, inReplyTo, status, message }: ErrorFacts, details: string): string {
  const meta = `${head(cid, 'zwsx.rsperr')}${reply(status, inReplyTo)}`;
  return `${meta},"error_message":${JSON.stringify(message)}},"data":{"cid":"${cid}"${details}}}`;
}

interface ErrorFacts {
  readonly cid: string;
  readonly inReplyTo: string;
  readonly status: number;
  readonly message: string;
}

function head(cid: string, type: string): string {
  return `{"meta":{"id":"${cid}","timestamp":"${timestamp()}","msg_type":"${type}"`;
}

function reply(status: number, inReplyTo: string): string {
  return `,"status":${status},"in_reply_to":${JSON.stringify(inReplyTo)}`;
}

function sentenceOf({ code, message }: Fault): string {
  return sentences[code] ?? message;
}

/** Zato leaves out what Python takes for false. */
function isEmpty(payload: unknown): boolean {
  if (!payload) return true;
  if (typeof payload !== 'object') return false;
  if (payload instanceof Uint8Array) return payload.length === 0;
  if (Array.isArray(payload)) return payload.length === 0;
  return Object.getPrototypeOf(payload) === Object.prototype && Object.keys(payload).length === 0;
}

function textOf(payload: unknown): string {
  try {
    if (payload instanceof Uint8Array) return JSON.stringify(utf8.decode(payload));
    return toJson(payload);
  } catch (cause) {
    throw new Fault('internal', 'The service answered what JSON cannot say', { cause });
  }
}

const utf8 = new TextDecoder('utf-8', { fatal: true });

function safeText(details: unknown): string | undefined {
  try {
    return details === undefined ? undefined : toJson(details);
  } catch {
    return undefined;
  }
}

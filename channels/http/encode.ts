import { Fault } from '../../runtime/core/fault.ts';
import { toJson } from '../../runtime/core/to-json.ts';
import type { Reply } from '../../runtime/service/call.ts';
import type { Channel } from './channel.ts';
import { isHeaderName, isHeaderValue, isReservedHeader } from './header-rules.ts';

const json = 'application/json';
const text = 'text/plain; charset=utf-8';
const bytes = 'application/octet-stream';

/** A reply ready to be written. */
export interface Encoded {
  readonly status: number;
  /** Undefined for a status that has no body. */
  readonly body: string | Buffer | undefined;
  /** Names and values in turn. */
  readonly headers: string[];
}

/**
 * A service's reply as HTTP.
 * @throws Fault `internal` naming the service when what it answered cannot be sent.
 */
export function encodeReply(channel: Channel, reply: Reply, cid: string): Encoded {
  const status = statusOf(channel, reply);
  const { payload } = reply;
  const headers = ['X-Hence-CID', cid];
  const empty = payload === undefined || payload === null;
  const body = empty ? '' : bodyOf(channel, payload);
  const bodiless = status === 204 || status === 304;
  if (!bodiless) {
    const length = typeof body === 'string' ? Buffer.byteLength(body) : body.length;
    headers.push('Content-Length', String(length));
  }
  const own = addHeaders(headers, channel, reply);
  if (!own && !empty && !bodiless) headers.push('Content-Type', typeOf(channel, payload));
  return { status, headers, body: bodiless ? undefined : body };
}

function bodyOf(channel: Channel, payload: unknown): string | Buffer {
  if (typeof payload === 'string' || Buffer.isBuffer(payload)) return payload;
  if (payload instanceof Uint8Array) {
    return Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength);
  }
  try {
    return toJson(payload);
  } catch (error) {
    throw new Fault('internal', `Service ${channel.service} answered what JSON cannot say`, {
      cause: error,
    });
  }
}

function typeOf({ dataFormat }: Channel, payload: unknown): string {
  if (typeof payload === 'string') return dataFormat === 'json' ? json : text;
  return payload instanceof Uint8Array ? bytes : json;
}

function statusOf(channel: Channel, { statusCode }: Reply): number {
  if (Number.isInteger(statusCode) && statusCode >= 200 && statusCode <= 599) return statusCode;
  throw new Fault('internal', `Service ${channel.service} answered with status ${statusCode}`);
}

/**
 * The service's headers, then the channel's where the service set none of that name. Says whether
 * a content type was among them.
 */
function addHeaders(headers: string[], channel: Channel, reply: Reply): boolean {
  const { contentType } = reply;
  const names = Object.keys(reply.headers);
  if (contentType === undefined && names.length === 0 && channel.headers === undefined)
    return false;
  const seen = new Set<string>();
  if (contentType !== undefined) add(headers, seen, ['Content-Type', contentType], channel);
  for (const name of names) {
    // What a service passes on of another system's reply may say how that one was framed.
    if (isReservedHeader(name)) continue;
    add(headers, seen, [name, reply.headers[name] as string], channel);
  }
  for (const header of channel.headers ?? []) add(headers, seen, header, channel);
  return seen.has('content-type');
}

function add(
  headers: string[],
  seen: Set<string>,
  [name, value]: readonly [string, string],
  channel: Channel,
): void {
  const key = name.toLowerCase();
  if (seen.has(key)) return;
  const sent = String(value);
  if (!isHeaderName(name) || !isHeaderValue(sent)) {
    throw new Fault('internal', `Service ${channel.service} set a header that cannot be sent`, {
      cause: new TypeError(`Not a header: ${JSON.stringify(name)}: ${JSON.stringify(sent)}`),
    });
  }
  seen.add(key);
  headers.push(name, sent);
}

import { Fault } from '../core/fault.ts';
import { parseJson } from '../core/json.ts';
import { type EncodedData, encodeData } from './message-data.ts';
import type { PubSubPublication } from './pubsub-ports.ts';

/** What goes with a message of `this.pubsub`. All of it may be left out. */
export interface PubSubMeta {
  /** 1-9; 9 is delivered first. Default: the topic's, else 5. */
  readonly priority?: number | undefined;
  /** In seconds. Default: the topic's, else 68 years. */
  readonly expiration?: number | undefined;
  /** Default `text/plain` for text, `application/json` for a value, `application/octet-stream` for bytes. */
  readonly mimeType?: string | undefined;
  readonly correlId?: string | undefined;
  /** Another name of `correlId` (Zato 3.2). */
  readonly cid?: string | undefined;
  /** Id of the message this one answers. */
  readonly inReplyTo?: string | undefined;
  readonly extClientId?: string | undefined;
  /** The publisher's own time: a Date, or ISO 8601. Orders nothing. */
  readonly extPubTime?: string | Date | undefined;
  /** Of Zato; every message is kept on disk here, whatever it says. */
  readonly hasGd?: boolean | undefined;
  /** The same key, publisher, topic and data within 24 h is one message; other data is a `conflict`. */
  readonly idempotencyKey?: string | undefined;
}

/** One message, data and metadata in one object. */
export interface PubSubItem extends PubSubMeta {
  readonly data?: unknown;
}

/** Who publishes, and to whom. */
export interface PubSubOrigin {
  readonly target: string;
  readonly targetIsService: boolean;
  readonly endpoint: string | undefined;
  readonly cid: string;
  readonly service: string;
  /** Of the message being handled; undefined outside of one. */
  readonly hops: number | undefined;
  /** Of a Model class; undefined when it is not exported. */
  readonly modelName: (Class: object) => string | undefined;
}

const metaKeys = [
  'priority',
  'expiration',
  'mimeType',
  'correlId',
  'cid',
  'inReplyTo',
  'extClientId',
  'extPubTime',
  'hasGd',
  'idempotencyKey',
] as const satisfies readonly (keyof PubSubMeta)[];

const known: ReadonlySet<string> = new Set(metaKeys);

/** @throws Fault `bad-request` naming the field that is of the wrong kind. */
export function pubSubPublicationOf(item: PubSubItem, origin: PubSubOrigin): PubSubPublication {
  const { target, targetIsService, endpoint, cid, service, hops, modelName } = origin;
  const { data = '', ...meta } = item;
  checkKeys(target, meta);
  if (meta.hasGd !== undefined && typeof meta.hasGd !== 'boolean') {
    throw wrong(target, 'hasGd', 'true or false');
  }
  const text = (name: TextKey) => textOf(target, name, meta[name]);
  const correlId = text('correlId') ?? text('cid');
  const inReplyTo = text('inReplyTo');
  const extClientId = text('extClientId');
  const idempotencyKey = text('idempotencyKey');
  const pubTime = timeOf(target, meta.extPubTime);
  return {
    target,
    targetIsService,
    ...encoded(data, mimeTypeOf(target, meta.mimeType), { target, modelName }),
    cid,
    publisher: service,
    hops: hops === undefined ? 0 : hops + 1,
    priority: meta.priority,
    expiration: meta.expiration,
    ...(correlId === undefined ? {} : { correlId }),
    ...(inReplyTo === undefined ? {} : { inReplyTo }),
    ...(extClientId === undefined ? {} : { extClientId }),
    ...(pubTime === undefined ? {} : { pubTime }),
    ...(idempotencyKey === undefined ? {} : { idempotencyKey }),
    ...(endpoint === undefined ? {} : { endpoint }),
  };
}

function checkKeys(target: string, meta: object): void {
  const others = Object.keys(meta).filter((name) => !known.has(name));
  if (others.length === 0) return;
  const listed = others.map((name) => JSON.stringify(name)).join(', ');
  throw new Fault(
    'bad-request',
    `Publishing to ${target}: ${listed} cannot go with data; metadata is ${metaKeys.join(', ')}`,
  );
}

/**
 * Text and bytes are sent as they are, and any other value as JSON. Text that is said to be JSON is a
 * string of JSON: it comes out as the text it was.
 */
function encoded(
  data: unknown,
  mimeType: string | undefined,
  { target, modelName }: Pick<PubSubOrigin, 'target' | 'modelName'>,
): EncodedData {
  if (typeof data === 'string') {
    // A half of a surrogate pair has no UTF-8; JSON can escape it.
    const plain = !/\p{Surrogate}/u.test(data);
    if (plain && !isJson(mimeType)) return { data, contentType: mimeType ?? 'text/plain' };
    return { data: JSON.stringify(data), contentType: 'application/json' };
  }
  if (!(data instanceof Uint8Array)) return encodeData(data, target, modelName);
  const bytes = Buffer.from(data);
  if (isJson(mimeType)) parseJson(bytes.toString(), `Publishing to ${target}: data`);
  return { data: bytes, contentType: mimeType ?? 'application/octet-stream' };
}

function isJson(mimeType: string | undefined): boolean {
  return mimeType !== undefined && /^application\/json\b/i.test(mimeType);
}

const mimePattern = /^[\x21-\x7e]+\/[\x20-\x7e]+$/;
const maxMimeLength = 255;

function mimeTypeOf(target: string, value: unknown): string | undefined {
  if (value === undefined || value === '') return undefined;
  if (typeof value === 'string' && value.length <= maxMimeLength && mimePattern.test(value)) {
    return isJson(value) ? 'application/json' : value;
  }
  throw wrong(target, 'mimeType', 'a MIME type such as text/plain');
}

type TextKey = 'correlId' | 'cid' | 'inReplyTo' | 'extClientId' | 'idempotencyKey';

function textOf(target: string, name: TextKey, value: unknown): string | undefined {
  if (value === undefined || value === '') return undefined;
  if (typeof value === 'string') return value;
  throw wrong(target, name, 'text');
}

function timeOf(target: string, value: unknown): string | undefined {
  if (value === undefined || value === '') return undefined;
  const isDate = value instanceof Date && !Number.isNaN(value.getTime());
  const text = isDate ? value.toISOString() : value;
  if (typeof text === 'string' && /^\d{4}-\d\d-\d\d/.test(text) && !Number.isNaN(Date.parse(text)))
    return text;
  throw wrong(target, 'extPubTime', 'a Date or an ISO 8601 time');
}

function wrong(target: string, name: string, wanted: string): Fault {
  return new Fault('bad-request', `Publishing to ${target}: ${name} must be ${wanted}`);
}

import { cidFrom } from '../core/cid.ts';
import { Fault } from '../core/fault.ts';
import { type EncodedData, encodeData } from './message-data.ts';

/** What goes with published data. All of it may be left out. */
export interface PublishMeta {
  /** 0-9; 9 is delivered first. Default: the topic's, else 5. */
  readonly priority?: number | undefined;
  /** How long it may wait in a queue, in seconds; less than 1 is 1. Default: the topic's, else 365 days. */
  readonly expiration?: number | undefined;
  /** Correlation id; default the call's own. 1-128 letters, digits, `.`, `_` or `-`. */
  readonly cid?: string | undefined;
  /** Default the cid. */
  readonly correlId?: string | undefined;
  /** Id of the message this one answers. */
  readonly inReplyTo?: string | undefined;
  readonly extClientId?: string | undefined;
  /** Default the service's name. */
  readonly publisher?: string | undefined;
  /** The publisher's own time: a Date, or ISO 8601 (UTC where it names no zone). Orders nothing. */
  readonly pubTime?: string | Date | undefined;
  /** The same key, publisher, topic and data within 24 h is one message; other data is a `conflict`. */
  readonly idempotencyKey?: string | undefined;
}

/** Payload and metadata in one object; `topic` and `data` are what their names say. */
export interface InlinePublication<Target> extends PublishMeta {
  readonly topic: Target;
  readonly data?: unknown;
  readonly [field: string]: unknown;
}

export interface PublishResult {
  /** `zpsm.YYYYMMDD-HHMMSS-ssss-<16 hex>f`, UTC. */
  readonly msgId: string;
  /** Queues it was put in; with 0 nobody subscribes, and it is not kept. */
  readonly queues: number;
  /** Its idempotency key was known: this is the first message. */
  readonly duplicate: boolean;
}

/** A message as a service publishes it: checked, and ready for the broker. */
export interface ServicePublication extends EncodedData {
  /** A deployed service's name, or else a topic's, as the service wrote it. */
  readonly target: string;
  /** Given as a class: no topic is meant. */
  readonly targetIsService: boolean;
  readonly cid: string;
  readonly correlId: string;
  readonly publisher: string;
  readonly priority?: number;
  readonly expirationMs?: number;
  readonly inReplyTo?: string;
  readonly extClientId?: string;
  /** ISO 8601, as given. */
  readonly pubTime?: string;
  readonly idempotencyKey?: string;
  /** Messages that led to this one. */
  readonly hops: number;
}

/** The arguments of `publish`, sorted out. */
export interface Publishing {
  readonly target: string;
  readonly targetIsService: boolean;
  readonly data: unknown;
  readonly meta: PublishMeta;
}

/** Who publishes. */
export interface Publisher {
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
  'cid',
  'correlId',
  'inReplyTo',
  'extClientId',
  'publisher',
  'pubTime',
  'idempotencyKey',
] as const satisfies readonly (keyof PublishMeta)[];
const known: ReadonlySet<string> = new Set(metaKeys);
const isoTime =
  /^\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:[.,]\d{1,9})?)?(?:Z|[+-]\d\d(?::?\d\d)?)?)?$/i;

/**
 * Sorts a bag of keys by the rule of Zato 4.x: with data, all must be metadata; without, those that
 * are not metadata are the data. `publisher` and `correlId` are metadata in both cases, as Zato's
 * documentation says (its code takes them for payload where no data is given).
 * @param data given; `noData` when it was not
 * @throws Fault `bad-request` naming keys that are no metadata, or data that is undefined.
 */
export function separate(
  target: string,
  data: unknown,
  bag: Readonly<Record<string, unknown>>,
): { readonly data: unknown; readonly meta: PublishMeta } {
  const names = Object.keys(bag);
  const others = names.filter((name) => !known.has(name));
  const meta: PublishMeta = Object.fromEntries(
    names.filter((name) => known.has(name)).map((name) => [name, bag[name]]),
  );
  if (others.length === 0) return { data: data === noData ? '' : data, meta };
  if (data === undefined || data === noData) {
    return { data: Object.fromEntries(others.map((name) => [name, bag[name]])), meta };
  }
  const listed = others.map((name) => JSON.stringify(name)).join(', ');
  throw new Fault(
    'bad-request',
    `Publishing to ${target}: ${listed} cannot go with data; metadata is ${metaKeys.join(', ')}`,
  );
}

/** Stands for data that was not given at all, which is published as "" (Zato 4.x). */
export const noData = Symbol('no data');

/** @throws Fault `bad-request` naming the field for metadata of the wrong kind, and as `encodeData`. */
export function publicationOf(given: Publishing, by: Publisher): ServicePublication {
  const { target, targetIsService, meta } = given;
  const text = (name: TextKey) => textOf(target, name, meta[name]);
  const cid = cidOf(target, meta.cid) ?? by.cid;
  return {
    target,
    targetIsService,
    ...encodeData(given.data, target, by.modelName),
    cid,
    correlId: text('correlId') ?? cid,
    publisher: text('publisher') ?? by.service,
    hops: by.hops === undefined ? 0 : by.hops + 1,
    ...present({
      priority: priorityOf(target, meta.priority),
      expirationMs: expirationOf(target, meta.expiration),
      inReplyTo: text('inReplyTo'),
      extClientId: text('extClientId'),
      pubTime: pubTimeOf(target, meta.pubTime),
      idempotencyKey: text('idempotencyKey'),
    }),
  };
}

type TextKey = 'correlId' | 'inReplyTo' | 'extClientId' | 'publisher' | 'idempotencyKey';

/** Empty text is as good as none (Zato's default is ""). */
function textOf(target: string, name: TextKey, value: unknown): string | undefined {
  if (value === undefined || value === '') return undefined;
  if (typeof value === 'string') return value;
  throw wrong(target, name, 'text');
}

function cidOf(target: string, value: unknown): string | undefined {
  if (value === undefined || value === '') return undefined;
  if (typeof value === 'string' && cidFrom(value) === value) return value;
  throw wrong(target, 'cid', '1-128 letters, digits, ".", "_" or "-"');
}

function priorityOf(target: string, value: unknown): number | undefined {
  if (value === undefined) return undefined;
  if (Number.isInteger(value) && Number(value) >= 0 && Number(value) <= 9) return Number(value);
  throw wrong(target, 'priority', 'a whole number from 0 to 9');
}

function expirationOf(target: string, value: unknown): number | undefined {
  if (value === undefined) return undefined;
  const seconds = typeof value === 'number' ? value : Number.NaN;
  const ms = Math.round(Math.max(seconds, 1) * 1_000);
  if (Number.isSafeInteger(ms)) return ms;
  throw wrong(target, 'expiration', 'a number of seconds');
}

function pubTimeOf(target: string, value: unknown): string | undefined {
  if (value === undefined || value === '') return undefined;
  const text =
    value instanceof Date && !Number.isNaN(value.getTime()) ? value.toISOString() : value;
  const day = typeof text === 'string' && isoTime.test(text) ? text.slice(0, 10) : '';
  if (typeof text === 'string' && !Number.isNaN(Date.parse(day))) return text;
  throw wrong(target, 'pubTime', 'a Date or an ISO 8601 time');
}

function wrong(target: string, name: string, wanted: string): Fault {
  return new Fault('bad-request', `Publishing to ${target}: ${name} must be ${wanted}`);
}

type Present<T> = { [Key in keyof T]?: Exclude<T[Key], undefined> };

function present<T extends object>(values: T): Present<T> {
  const found: { [Key in keyof T]?: T[Key] } = {};
  for (const name in values) if (values[name] !== undefined) found[name] = values[name];
  return found as Present<T>;
}

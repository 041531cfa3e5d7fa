import type { Message, Publication } from './message.ts';
import { messageId } from './message-id.ts';

/*
 * A message as Redis keeps it, once for all its queues:
 *   f64 received (µs)  f64 expires (ms)  u16 salt  u8 priority  u32 length of meta   (big endian)
 *   meta as JSON with short keys, then the data's bytes.
 * The head is packed by the publish script, which alone knows the time.
 */
const headBytes = 23;

/** Short keys: each byte is paid for every queued message. */
interface RecordMeta {
  /** The scripts look for it at the beginning. */
  readonly t: string;
  readonly c: string;
  readonly e: number;
  readonly k?: string;
  readonly p?: string;
  readonly o?: string;
  readonly r?: string;
  readonly x?: string;
  readonly d?: string;
  readonly m?: string;
  readonly h?: number;
  /** The scripts look for it: no character of it is escaped. */
  readonly i?: string;
  readonly v?: 1;
}

type Mutable<T> = { -readonly [Key in keyof T]: T[Key] };

const defaultContentType = 'application/json';

export function encodeMeta(publication: Publication, expirationMs: number): string {
  const { topic, cid, publisher, correlId, contentType, hops = 0 } = publication;
  const { inReplyTo, extClientId, pubTime, dataClass, givenId, verbatim } = publication;
  // Most have only these: without the keys that are undefined it takes half the time.
  const meta: Mutable<RecordMeta> = { t: topic, c: cid, e: expirationMs };
  if (publisher !== undefined) meta.p = publisher;
  if (correlId !== undefined) meta.o = correlId === cid ? '' : correlId;
  if (contentType !== undefined && contentType !== defaultContentType) meta.k = contentType;
  if (inReplyTo !== undefined) meta.r = inReplyTo;
  if (extClientId !== undefined) meta.x = extClientId;
  if (pubTime !== undefined) meta.d = pubTime;
  if (dataClass !== undefined) meta.m = dataClass;
  if (hops !== 0) meta.h = hops;
  if (givenId !== undefined) meta.i = givenId;
  if (verbatim) meta.v = 1;
  return JSON.stringify(meta);
}

/** What the meta of every message of a topic begins with. */
export function metaStart(topic: string): string {
  return `${JSON.stringify({ t: topic }).slice(0, -1)},`;
}

/** The message id in the head of a record. */
export function idOfHead(seq: number, head: Buffer): string {
  return messageId({ receivedUs: head.readDoubleBE(0), salt: head.readUInt16BE(16), seq });
}

export function decodeRecord(seq: number, record: Buffer): Message {
  const receivedUs = record.readDoubleBE(0);
  const metaEnd = headBytes + record.readUInt32BE(19);
  const meta = JSON.parse(record.toString('utf8', headBytes, metaEnd)) as RecordMeta;
  return {
    msgId: idOfHead(seq, record),
    seq,
    receivedAt: Math.floor(receivedUs / 1_000),
    expiresAt: record.readDoubleBE(8),
    topic: meta.t,
    priority: record.readUInt8(18),
    expirationMs: meta.e,
    cid: meta.c,
    contentType: meta.k ?? defaultContentType,
    hops: meta.h ?? 0,
    data: record.subarray(metaEnd),
    ...(meta.p === undefined ? {} : { publisher: meta.p }),
    // The usual correlation id is the cid itself: kept as "" to save its bytes.
    ...(meta.o === undefined ? {} : { correlId: meta.o || meta.c }),
    ...(meta.r === undefined ? {} : { inReplyTo: meta.r }),
    ...(meta.x === undefined ? {} : { extClientId: meta.x }),
    ...(meta.d === undefined ? {} : { pubTime: meta.d }),
    ...(meta.m === undefined ? {} : { dataClass: meta.m }),
    ...(meta.i === undefined ? {} : { givenId: meta.i }),
    ...(meta.v === undefined ? {} : { verbatim: true }),
  };
}

import { isUtf8 } from 'node:buffer';
import { Fault } from '../core/fault.ts';
import { parseJson } from '../core/json.ts';
import { isJson, jsonData } from './json-data.ts';
import type { Message } from './message.ts';
import { zato3Id } from './message-id.ts';

/** A message in a queue, or on its way out of one. */
export interface PlacedMessage {
  readonly subKey: string;
  readonly message: Message;
  /** Deliveries so far. */
  readonly deliveries: number;
}

/** A message as Zato 3.0 gives it to services, in its keys. Times are UTC, without saying so. */
export interface Zato3Message {
  readonly delivery_count: number;
  /** Zato's word for what survives a restart only where its publisher asks. Here all does. */
  readonly has_gd: boolean;
  readonly server_name: string;
  readonly topic_name: string;
  readonly pub_time_iso: string;
  readonly priority: number;
  readonly expiration_time_iso: string;
  /** In ms. */
  readonly expiration: number;
  readonly server_pid: number;
  /** Bytes of the data in UTF-8. */
  readonly size: number;
  /** The value of JSON, text, or the bytes of what is neither. */
  readonly data: unknown;
  readonly sub_key: string;
  readonly mime_type: string;
  readonly msg_id?: string;
  readonly correl_id?: string;
  readonly in_reply_to?: string;
  readonly ext_client_id?: string;
  readonly ext_pub_time_iso?: string;
  /** As it was published: where numbers are too big for JavaScript, read these bytes. */
  readonly data_bytes?: Buffer;
  readonly [detail: string]: unknown;
}

export interface Zato3MessageOptions {
  readonly serverName: string;
  readonly needsMsgId?: boolean | undefined;
  readonly needsDetails?: boolean | undefined;
  readonly needsBytes?: boolean | undefined;
}

/** The dictionary of Zato 3.0's `get_messages`. */
export function zato3Message(placed: PlacedMessage, options: Zato3MessageOptions): Zato3Message {
  const { message, subKey, deliveries } = placed;
  return {
    delivery_count: deliveries,
    has_gd: false,
    server_name: options.serverName,
    topic_name: message.topic,
    pub_time_iso: isoOf(message.receivedAt),
    priority: message.priority,
    expiration_time_iso: isoOf(message.expiresAt),
    expiration: message.expirationMs,
    server_pid: process.pid,
    size: sizeOf(message),
    data: dataValue(message),
    sub_key: subKey,
    mime_type: message.contentType,
    ...relations(message),
    ...(options.needsMsgId ? { msg_id: zato3Id(message.msgId) } : {}),
    ...(options.needsDetails ? detailsOf(message) : {}),
    ...(options.needsBytes ? { data_bytes: message.data } : {}),
  };
}

/**
 * JSON of the message as Zato 3.2 sends it to clients, over REST and over WebSockets. Its data is
 * exactly what was published: big integers survive.
 */
export function zato3Json({ message, subKey, deliveries }: PlacedMessage): string {
  return zato3JsonIn(zato3Facts(message), { subKey, deliveries });
}

/** What is the same of a message in every queue, for `zato3JsonIn`. */
export function zato3Facts(message: Message): string {
  const received = isoOf(message.receivedAt);
  const facts = {
    msg_id: zato3Id(message.msgId),
    topic_name: message.topic,
    priority: message.priority,
    // In seconds here.
    expiration: Math.ceil(message.expirationMs / 1_000),
    expiration_time_iso: isoOf(message.expiresAt),
    pub_time_iso: received,
    recv_time_iso: received,
    mime_type: message.contentType,
    size: sizeOf(message),
    ...relations(message),
  };
  return `{"data":${jsonData(message).toString()},${JSON.stringify(facts).slice(1, -1)}`;
}

/** The message as it is in one queue. */
export function zato3JsonIn(
  facts: string,
  { subKey, deliveries }: Pick<PlacedMessage, 'subKey' | 'deliveries'>,
): string {
  return `${facts},"sub_key":${JSON.stringify(subKey)},"delivery_count":${deliveries}}`;
}

function relations({ correlId, inReplyTo, extClientId, pubTime }: Message) {
  return {
    ...(correlId ? { correl_id: correlId } : {}),
    ...(inReplyTo ? { in_reply_to: inReplyTo } : {}),
    ...(extClientId ? { ext_client_id: extClientId } : {}),
    ...(pubTime ? { ext_pub_time_iso: pubTime } : {}),
  };
}

const prefixLength = 2_048;
const shortPrefixLength = 64;

/** What Zato keeps for itself, as far as it means something here: there are no ids of its tables. */
function detailsOf(message: Message) {
  const text = textOf(message);
  return {
    pub_msg_id: zato3Id(message.msgId),
    pub_correl_id: message.correlId ?? null,
    pub_time: message.receivedAt / 1_000,
    recv_time: message.receivedAt / 1_000,
    recv_time_iso: isoOf(message.receivedAt),
    expiration_time: message.expiresAt / 1_000,
    data_prefix: text.slice(0, prefixLength),
    data_prefix_short: text.slice(0, shortPrefixLength),
    published_by: message.publisher ?? null,
  };
}

/** A string without its quotes, any other JSON as it was written. */
export function textOf({ contentType, data }: Message): string {
  if (!isJson(contentType)) return data.toString(isUtf8(data) ? 'utf8' : 'base64');
  if (data[0] !== quote) return data.toString();
  return String(JSON.parse(data.toString()));
}

const quote = 0x22;

function sizeOf({ contentType, data }: Message): number {
  if (!isJson(contentType) || data[0] !== quote) return data.length;
  return Buffer.byteLength(JSON.parse(data.toString()) as string);
}

function dataValue({ contentType, data }: Message): unknown {
  if (/^application\/(?:[\w.+-]+\+)?json\b/i.test(contentType)) return jsonValue(data.toString());
  if (/^application\/octet-stream\b/i.test(contentType)) return data;
  return isUtf8(data) ? data.toString() : data;
}

/** The text itself where it is no JSON that a service may get. */
function jsonValue(text: string): unknown {
  try {
    return parseJson(text);
  } catch (error) {
    if (!Fault.is(error)) throw error;
    return text;
  }
}

/** The end of the year 9999: Python has no later time. */
const latestMs = 253_402_300_799_999;

/** As Python's `isoformat` writes it, with microseconds. */
function isoOf(ms: number): string {
  return `${new Date(Math.min(ms, latestMs)).toISOString().slice(0, 23)}000`;
}

import { isUtf8 } from 'node:buffer';
import type { Message } from '../pubsub/message.ts';

const previewLength = 100;

export interface PushBody {
  readonly text: string;
  readonly headers: Readonly<Record<string, string>>;
}

/** A message as Zato 4 pushes it to REST endpoints (contract: pushed body); bytes that are no text go as base64. */
export function pushBody(message: Message): PushBody {
  const binary = !isUtf8(message.data);
  const data = binary ? message.data.toString('base64') : textOf(message);
  const characters = lengthOf(data);
  const body = {
    msg_id: message.msgId,
    sequence_id: message.seq,
    topic_name: message.topic,
    data,
    data_class: message.dataClass ?? '',
    data_size: characters,
    data_preview: characters <= previewLength ? data : preview(data),
    priority: message.priority,
    expiration: Math.max(1, Math.round(message.expirationMs / 1_000)),
    pub_time_iso: message.pubTime ?? isoOf(message.receivedAt),
    recv_time_iso: isoOf(message.receivedAt),
    expiration_time_iso: isoOf(message.expiresAt),
    publisher: set(message.publisher),
    cid: set(message.cid),
    correl_id: set(message.correlId),
    in_reply_to: set(message.inReplyTo),
    ext_client_id: set(message.extClientId),
  };
  const headers = {
    'content-type': 'application/json',
    ...(binary ? { 'x-hence-data-encoding': 'base64' } : {}),
  };
  return { text: JSON.stringify(body), headers };
}

/** A string as it is, any other JSON as its text. */
export function textOf({ contentType, data }: Pick<Message, 'contentType' | 'data'>): string {
  const text = data.toString();
  if (contentType !== 'application/json' || !text.trimStart().startsWith('"')) return text;
  try {
    return String(JSON.parse(text));
  } catch {
    return text;
  }
}

/** Left out of the JSON when not set. */
function set(value: string | undefined): string | undefined {
  return value === '' ? undefined : value;
}

/** Zato counts characters, not UTF-16 units. */
function lengthOf(text: string): number {
  let pairs = 0;
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code >= 0xd800 && code <= 0xdbff && isLow(text.charCodeAt(at + 1))) pairs++;
  }
  return text.length - pairs;
}

function preview(text: string): string {
  return [...text.slice(0, 2 * previewLength)].slice(0, previewLength).join('');
}

function isLow(code: number): boolean {
  return code >= 0xdc00 && code <= 0xdfff;
}

/** With microseconds, as Python writes it. */
function isoOf(ms: number): string {
  return new Date(ms).toISOString().replace('Z', '000+00:00');
}

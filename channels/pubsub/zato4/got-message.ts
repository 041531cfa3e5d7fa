import { isAscii } from 'node:buffer';
import { jsonData } from '../../../runtime/pubsub/json-data.ts';
import type { Delivery } from '../../../runtime/pubsub/message.ts';
import { ackIdOf } from './ack-id.ts';
import { normalTime, pythonSpan, pythonTime } from './python-time.ts';

/** A message as the reply of `POST /pubsub/messages/get` has it. */
export interface GotMessage {
  readonly delivery: Delivery;
  /** The JSON of its data, as it was published. */
  readonly data: Buffer;
  /** Characters of the data; of a string, without quotes and escapes. */
  readonly size: number;
}

export function gotMessage(delivery: Delivery): GotMessage {
  const data = jsonData(delivery.message);
  return { delivery, data, size: sizeOf(data) };
}

export interface MetaOptions {
  readonly manual: boolean;
  /** ms since 1970. */
  readonly now: number;
}

/** In Zato 4's order; what is ours comes last. */
export function metaOf({ delivery, size }: GotMessage, { manual, now }: MetaOptions): unknown {
  const { message, subKey, deliveries } = delivery;
  const { receivedAt, pubTime } = message;
  const pubTimeIso =
    pubTime === undefined ? pythonTime(receivedAt) : (normalTime(pubTime) ?? pubTime);
  const publishedAt = pubTime === undefined ? receivedAt : Date.parse(pubTimeIso) || receivedAt;
  return {
    topic_name: message.topic,
    size,
    priority: message.priority,
    expiration: Math.ceil(message.expirationMs / 1_000),
    msg_id: message.msgId,
    sub_key: subKey,
    pub_time_iso: pubTimeIso,
    recv_time_iso: pythonTime(receivedAt),
    expiration_time_iso: pythonTime(message.expiresAt),
    time_since_pub: pythonSpan(now - publishedAt),
    time_since_recv: pythonSpan(now - receivedAt),
    // JSON leaves out what is undefined.
    correl_id: message.correlId || undefined,
    in_reply_to: message.inReplyTo || undefined,
    ext_client_id: message.extClientId || undefined,
    ack_id: manual ? ackIdOf(delivery) : undefined,
    delivery_count: manual || deliveries > 1 ? deliveries : undefined,
    redelivered: deliveries > 1 ? true : undefined,
    lease_until: manual ? pythonTime(delivery.leasedUntil) : undefined,
  };
}

function sizeOf(json: Buffer): number {
  if (json[0] !== quote) return isAscii(json) ? json.length : characters(json.toString('utf8'));
  if (!json.includes(backslash) && isAscii(json)) return json.length - 2;
  return characters(JSON.parse(json.toString('utf8')) as string);
}

const quote = 0x22;
const backslash = 0x5c;

/** As Python counts: a pair of surrogates is one. */
function characters(text: string): number {
  let count = 0;
  for (const _ of text) count++;
  return count;
}

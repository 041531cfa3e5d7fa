import { isUtf8 } from 'node:buffer';
import type { Message } from '../pubsub/message.ts';
import { zato2Id } from '../pubsub/message-id.ts';
import { type PushBody, textOf } from './push-body.ts';

/** A message as Zato 2.0 gives it to a consumer, in the order it prints; what is ours comes last. */
export interface Zato2Result {
  readonly payload: string;
  readonly metadata: {
    readonly msg_id: string;
    readonly topic: string;
    readonly creation_time_utc: string;
    /** In seconds. */
    readonly expiration: number;
    readonly expire_at_utc: string;
    readonly producer: string | null;
    readonly priority: number;
    readonly mime_type: string;
    /** Of bytes that are no text. */
    readonly payload_encoding?: 'base64';
  };
}

/** @param asText Whether text can be sent as it is; other text goes as base64. Default: all of it can. */
export function zato2Result(
  message: Message,
  asText: (text: string) => boolean = () => true,
): Zato2Result {
  const { data, verbatim } = message;
  const text = !isUtf8(data) ? undefined : verbatim ? data.toString() : textOf(message);
  const plain = text !== undefined && asText(text);
  const bytes = text === undefined ? data : Buffer.from(text);
  return {
    payload: plain ? text : bytes.toString('base64'),
    metadata: {
      msg_id: message.givenId ?? zato2Id(message.msgId),
      topic: message.topic,
      creation_time_utc: timeOf(message.receivedAt),
      expiration: Math.max(1, Math.round(message.expirationMs / 1_000)),
      expire_at_utc: timeOf(message.expiresAt),
      producer: message.publisher ?? null,
      priority: message.priority,
      mime_type: message.contentType,
      ...(plain ? {} : { payload_encoding: 'base64' }),
    },
  };
}

/** What a consumer of Zato 2.0 is answered, and a callback is sent. */
export function zato2Results(results: readonly Zato2Result[]) {
  return { status: 'ZATO_OK', results_count: results.length, results };
}

/** A message as Zato 2.0 pushes it. */
export function zato2PushBody(message: Message): PushBody {
  const text = pythonJson(zato2Results([zato2Result(message)]));
  return { text, headers: { 'content-type': 'application/json' } };
}

/** JSON with Python's blanks, as Zato 2.0's clients have always seen it. */
export function pythonJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(pythonJson).join(', ')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  const fields = Object.entries(value).map(
    ([key, field]) => `${JSON.stringify(key)}: ${pythonJson(field)}`,
  );
  return `{${fields.join(', ')}}`;
}

/** Python's `isoformat` of a UTC time without a zone. */
function timeOf(ms: number): string {
  return new Date(Math.min(ms, latestMs)).toISOString().replace('Z', '000');
}

/** The end of the year 9999: Python has no later time. */
const latestMs = 253_402_300_799_999;

import { Fault } from '../../../runtime/core/fault.ts';
import { sliceOfKey } from '../../../runtime/core/json-slices.ts';
import type { Publication } from '../../../runtime/pubsub/message.ts';
import { type Input, parseInput } from '../rest/json-body.ts';
import { invalid } from './input.ts';
import type { TopicRules } from './ports.ts';
import { pythonInt } from './python-int.ts';
import { normalTime } from './python-time.ts';

const defaultPriority = 5;
const defaultExpiration = 86_400 * 365;
/** 100 years, in seconds: Zato has no limit, its clock has. */
const maxExpiration = 100 * defaultExpiration;
const maxFactLength = 2_000;

/** What the door knows of a publication before it reads the body. */
export interface Origin {
  readonly topic: string;
  readonly rules: TopicRules;
  readonly publisher: string;
  readonly cid: string;
  readonly idempotencyKey: string | undefined;
}

/** The publication in a body of `POST /pubsub/topic/{topic}`. @throws Fault `bad-request` */
export function publicationOf(body: Buffer, origin: Origin): Publication {
  if (body.length === 0) throw new Fault('bad-request', 'Input data missing');
  const input = parseInput(body);
  const given = input?.fields['data'];
  if (!input || given === undefined || given === null) {
    throw invalid('data', 'element missing');
  }
  const { rules, idempotencyKey, cid } = origin;
  const inReplyTo = fact(input, 'in_reply_to');
  const extClientId = fact(input, 'ext_client_id');
  const pubTime = pubTimeOf(input);
  return {
    topic: origin.topic,
    data: dataOf(input),
    cid,
    publisher: origin.publisher,
    correlId: fact(input, 'correl_id') ?? cid,
    priority: priorityOf(input.fields['priority'], rules),
    expirationMs: expirationOf(input.fields['expiration'], rules),
    ...(inReplyTo === undefined ? {} : { inReplyTo }),
    ...(extClientId === undefined ? {} : { extClientId }),
    ...(pubTime === undefined ? {} : { pubTime }),
    ...(rules.maxSize === undefined ? {} : { maxSize: rules.maxSize }),
    ...(idempotencyKey === undefined ? {} : { idempotencyKey }),
  };
}

/** The JSON of `data` as it was sent: big integers, `-0` and escapes survive. */
function dataOf({ text }: Input): string {
  const slice = sliceOfKey(text, 'data');
  if (!slice) throw invalid('data', 'element missing');
  return text.slice(slice.start, slice.end);
}

/** Zato 4: what is no number from 0 to 9 is the default, not the nearest. */
function priorityOf(given: unknown, rules: TopicRules): number {
  const priority = pythonInt(given);
  const known = priority !== undefined && priority >= 0 && priority <= 9;
  return known ? priority : (rules.priority ?? defaultPriority);
}

/** Zato 4: in seconds; less than one is one, what is no number is the default. */
function expirationOf(given: unknown, rules: TopicRules): number {
  const seconds = pythonInt(given);
  if (seconds === undefined) return rules.expirationMs ?? defaultExpiration * 1_000;
  return Math.min(Math.max(seconds, 1), maxExpiration) * 1_000;
}

/** Text that goes with a message; undefined where it is absent, null or empty. */
function fact({ fields }: Input, name: string): string | undefined {
  const value = fields[name];
  if (value === undefined || value === null || value === '') return undefined;
  if (typeof value === 'object') throw invalid(name, 'must be a string');
  const text = String(value);
  if (text.length <= maxFactLength) return text;
  throw invalid(name, `is longer than ${maxFactLength} characters`);
}

function pubTimeOf(input: Input): string | undefined {
  const text = fact(input, 'pub_time');
  if (text === undefined) return undefined;
  const time = normalTime(text);
  if (time === undefined) throw invalid('pub_time', 'is not an ISO 8601 time');
  return time;
}

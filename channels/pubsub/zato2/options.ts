import { Fault } from '../../../runtime/core/fault.ts';
import { givenIdRule, isGivenId } from '../../../runtime/pubsub/message-id.ts';
import type { TopicRules } from './ports.ts';

const defaultPriority = 5;
const defaultExpiration = 60;
/** 100 years, in seconds: Zato has no limit, its clock has. */
const maxExpiration = 100 * 365 * 86_400;
const defaultMax = 100;
/** What one reply may have; Zato 2.0 has no limit, our memory has. */
const mostMessages = 1_000;

export interface PublishOptions {
  readonly priority: number;
  readonly expirationMs: number;
  readonly mimeType: string;
  readonly givenId: string | undefined;
}

export interface ConsumeOptions {
  readonly max: number;
  readonly newestFirst: boolean;
}

/** Of a publication: the query string says it all, but for the type of its body. @throws Fault `bad-request` */
export function publishOptionsOf(
  query: URLSearchParams,
  contentType: string | undefined,
  rules: TopicRules,
): PublishOptions {
  const priority = wholeNumber(query, 'priority', 9) ?? rules.priority ?? defaultPriority;
  const seconds = wholeNumber(query, 'expiration');
  const givenId = query.get('msg_id') || undefined;
  if (givenId !== undefined && !isGivenId(givenId)) throw invalid('msg_id', query, givenIdRule);
  return {
    priority,
    expirationMs: expirationOf(seconds, rules),
    mimeType: mimeTypeOf(query, contentType),
    givenId,
  };
}

/** Of a consumer's question. @throws Fault `bad-request` */
export function consumeOptionsOf(query: URLSearchParams): ConsumeOptions {
  const direction = oneOf(query, 'dir', ['fifo', 'lifo']);
  return {
    max: Math.min(wholeNumber(query, 'max') ?? defaultMax, mostMessages),
    newestFirst: direction === 'lifo',
  };
}

/** What is to become of a message. @throws Fault `bad-request` */
export function verdictOf(query: URLSearchParams): 'ack' | 'reject' {
  const [ack, reject] = [flag(query, 'ack'), flag(query, 'reject')];
  if (ack && reject) {
    throw new Fault('bad-request', 'Cannot both acknowledge and reject a message');
  }
  if (ack) return 'ack';
  if (reject) return 'reject';
  throw new Fault('bad-request', 'Missing state to set, should be one of `ack, reject`');
}

/** @throws Fault `bad-request` */
export function formatOf(query: URLSearchParams): 'json' | 'xml' {
  return oneOf(query, 'format', ['json', 'xml']);
}

function expirationOf(seconds: number | undefined, { expirationMs }: TopicRules): number {
  if (seconds === undefined) return expirationMs ?? defaultExpiration * 1_000;
  return Math.min(seconds, maxExpiration) * 1_000;
}

/** A form is what curl calls a body of which nobody said anything else. */
function mimeTypeOf(query: URLSearchParams, contentType = ''): string {
  const isForm = /^application\/x-www-form-urlencoded\b/i.test(contentType);
  const type = query.get('mime_type') || (isForm ? '' : contentType) || 'text/plain';
  if (/^[ -~]{1,200}$/.test(type)) return type;
  throw new Fault('bad-request', 'The MIME type is not 1 to 200 printable ASCII characters');
}

/** From 1 to the most; undefined where it is absent or empty. */
function wholeNumber(query: URLSearchParams, name: string, most = 10 ** 15): number | undefined {
  const text = query.get(name)?.trim();
  if (!text) return undefined;
  const value = /^\d{1,16}$/.test(text) ? Number(text) : 0;
  if (value >= 1 && value <= most) return value;
  throw invalid(name, query, `a whole number from 1 to ${most}`);
}

/** The first one where it is absent or empty. */
function oneOf<T extends string>(
  query: URLSearchParams,
  name: string,
  values: readonly [T, ...T[]],
): T {
  const given = query.get(name) || values[0];
  const known = values.find((value) => value === given);
  if (known !== undefined) return known;
  throw invalid(name, query, values.join(' or '));
}

const yes = ['true', 't', 'yes', 'y', 'on', '1'];
const no = ['false', 'f', 'no', 'n', 'off', '0', ''];

function flag(query: URLSearchParams, name: string): boolean {
  const given = query.get(name)?.trim().toLowerCase() ?? '';
  if (yes.includes(given)) return true;
  if (no.includes(given)) return false;
  throw invalid(name, query, 'true or false');
}

function invalid(name: string, query: URLSearchParams, rule: string): Fault {
  const given = query.get(name)?.slice(0, 100) ?? '';
  return new Fault('bad-request', `Invalid value of ${name} \`${given}\`, it must be ${rule}`);
}

import { z } from 'zod';
import { parseDuration } from '../../runtime/core/duration.ts';
import { isName, nameRule } from '../../runtime/core/name.ts';
import { type Sealer, sealSecrets, showSecrets } from './secrets.ts';

const second = 1_000;
const maxTimeoutMs = 10 * 60 * second;
const maxPauseMs = 24 * 60 * 60 * second;

function duration(maxMs: number) {
  return z.union([z.string(), z.number()]).refine((value) => isDuration(value, maxMs), {
    error: `not a duration of at most ${maxMs / second} s: write 250ms, 5s or 10m`,
  });
}

function isDuration(value: string | number, maxMs: number): boolean {
  try {
    return parseDuration(value) <= maxMs;
  } catch {
    return false;
  }
}

/** Where the other side is: no password in it, and nothing after the path. */
function isBaseUrl(text: string): boolean {
  if (!URL.canParse(text)) return false;
  const url = new URL(text);
  const plain = url.username === '' && url.password === '' && url.search === '' && url.hash === '';
  return plain && (url.protocol === 'http:' || url.protocol === 'https:') && !/[?#]/.test(text);
}

const pathPattern = /^\/(?:[^\s?#{}]|\{[A-Za-z_][A-Za-z0-9_]*\})*$/;
const path = z.string().regex(pathPattern, {
  error: 'a path starts with "/", has no query, and names its parts as {name}',
});

const headerName = z.string().regex(/^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}$/, {
  error: 'not a header name',
});
/** These belong to the connection itself. */
const ownHeaders = new Set(
  'connection content-length expect host keep-alive te trailer transfer-encoding upgrade'.split(
    ' ',
  ),
);
const freeHeaderName = headerName.refine((name) => !ownHeaders.has(name.toLowerCase()), {
  error: 'this header is set by the connection itself',
});
const headerValue = z
  .string()
  .max(8_192)
  .regex(/^[\t\x20-\x7e\x80-\xff]*$/, {
    error: 'a header value has no line breaks and no characters beyond Latin-1',
  });

const auth = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('none') }),
  z.strictObject({
    type: z.literal('basic'),
    username: z
      .string()
      .min(1)
      .max(200)
      .regex(/^[^:\r\n]+$/, { error: 'no ":" in a user name' }),
    password: z.string().max(4_096),
  }),
  z.strictObject({
    type: z.literal('header'),
    name: freeHeaderName,
    value: z.string().min(1).max(4_096),
  }),
]);

const methods = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE'] as const;
export type Method = (typeof methods)[number];

/** What a try can fail by, as a retry policy names it. */
const retryReason = z.string().regex(/^(?:connect|reset|timeout|invalid|[45]xx|[45]\d\d)$/, {
  error: 'one of connect, reset, timeout, invalid, 5xx, 4xx, or a status such as 503',
});

const retry = z.strictObject({
  /** Tries in all: 1 is no retry. */
  attempts: z.int().min(1).max(10).default(1),
  /** Before the second try; doubles with each further one. */
  delay: duration(maxTimeoutMs).default('1s'),
  maxDelay: duration(maxTimeoutMs).default('30s'),
  on: z.array(retryReason).default(['connect', 'reset', 'timeout', '502', '503', '504']),
  /** Others are never repeated: what POST began may have happened. */
  methods: z.array(z.enum(methods)).default(['GET', 'HEAD', 'PUT', 'DELETE']),
});

const breaker = z.strictObject({
  /** Failures in a row that open it; 0 is no breaker. */
  failures: z.int().min(0).max(1_000).default(5),
  /** How long it stays open before one call may try. */
  reset: duration(maxPauseMs).default('30s'),
});

const park = z.strictObject({
  /** After a 429 nothing is sent until its Retry-After. */
  enabled: z.boolean().default(true),
  /** A header that holds the Unix time until which to wait; goes before Retry-After. */
  header: headerName.optional(),
  /** How long to wait when the 429 does not say. */
  fallback: duration(maxPauseMs).default('1m'),
});

const banGuard = z.strictObject({
  /** Refusals (4xx but 408, 425, 429) within the window that pause the connection; 0 is never. */
  refusals: z.int().min(0).max(1_000).default(0),
  within: duration(maxPauseMs).default('60s'),
  pause: duration(maxPauseMs).default('5m'),
});

const ping = z.strictObject({
  path: path
    .refine((text) => !text.includes('{'), { error: 'the path of a ping has no {params}' })
    .default('/'),
  method: z.enum(['GET', 'HEAD']).default('HEAD'),
  /** The status that counts as alive; any below 500 when absent. */
  expect: z.int().min(200).max(599).optional(),
});

/** `off` for whatever has a value that means off. */
function orOff<T extends z.ZodType>(inner: T, off: unknown) {
  return z.preprocess((value) => (value === 'off' || value === false ? off : value), inner);
}

const schema = z.strictObject({
  type: z.literal('http').default('http'),
  url: z.string().max(2_048).refine(isBaseUrl, {
    error: 'an http:// or https:// URL without user, query and fragment',
  }),
  path: path.default('/'),
  /** What `send` uses. */
  method: z.enum(methods).default('POST'),
  dataFormat: z.enum(['json', 'form', 'text', 'raw']).default('json'),
  auth: auth.default({ type: 'none' }),
  headers: z.record(freeHeaderName, headerValue).default({}),
  /** The whole call: every try and every wait between them. */
  timeout: duration(maxTimeoutMs).default('15s'),
  /** One try, from connecting to the reply's last byte; `timeout` when absent. */
  attemptTimeout: duration(maxTimeoutMs).optional(),
  connectTimeout: duration(maxTimeoutMs).default('5s'),
  /** Sockets at most. */
  pool: z.int().min(1).max(1_000).default(32),
  /** Bytes of a reply's body at most. */
  maxResponse: z
    .int()
    .min(1)
    .max(256 * 1_024 * 1_024)
    .default(1_024 * 1_024),
  retry: orOff(retry, {}).prefault({}),
  breaker: orOff(breaker, { failures: 0 }).prefault({}),
  park: orOff(park, { enabled: false }).prefault({}),
  banGuard: orOff(banGuard, {}).prefault({}),
  /** `standin` answers locally instead of the real system. */
  mode: z.enum(['live', 'standin']).default('live'),
  /** Which stand-in; the connection's own name when absent. */
  standin: z.string().refine(isName, { error: nameRule }).optional(),
  ping: ping.prefault({}),
  enabled: z.boolean().default(true),
});

export type OutgoingSpec = z.output<typeof schema>;

/** The definition type `outgoing`: its secrets are sealed at rest and shown sealed. */
export function outgoingType(sealer: Sealer) {
  return {
    type: 'outgoing',
    section: 'outgoing',
    schema,
    seal: async (name: string, spec: OutgoingSpec, previous: OutgoingSpec | undefined) =>
      sealSecrets(sealer, name, spec, previous),
    show: (_name: string, spec: OutgoingSpec): unknown => showSecrets(sealer, spec),
  };
}

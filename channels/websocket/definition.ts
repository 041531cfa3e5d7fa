import { z } from 'zod';
import type { DefinitionType, Reference } from '../../runtime/config/definition.ts';
import { parseDuration } from '../../runtime/core/duration.ts';
import { Fault } from '../../runtime/core/fault.ts';
import { isName, nameRule } from '../../runtime/core/name.ts';
import { noSecurity } from '../../runtime/security/basic-definition.ts';
import { checkPattern, defaultAllowed } from './allow-list.ts';
import { checkPath, normalizePath } from './path.ts';

/** How WebSocket clients at a path reach services. */
export interface WebSocketSpec {
  readonly type: 'websocket';
  readonly path: string;
  /** The service that every frame goes to; without one it is a gateway. */
  readonly service?: string | undefined;
  /** Each frame names its service. */
  readonly gateway: boolean;
  /** The services of a gateway: names, in which `*` stands for anything. */
  readonly allow?: readonly string[] | undefined;
  /** Name of a security definition, or `none`. */
  readonly security: string;
  /** For one call of a service: `30s`. */
  readonly timeout: string | number;
  readonly pingInterval: string | number;
  /** Pings in a row without their pong after which a client is disconnected. */
  readonly pingsMissed: number;
  /** How long a token counts; each pong adds `pingInterval`. */
  readonly tokenTtl: string | number;
  /** A client that is not logged in by then is disconnected. */
  readonly loginTimeout: string | number;
  /** The longest frame taken: bytes, or `64kb`, `1mb`. */
  readonly maxFrame: string | number;
  /** A client that sends no frame for so long is disconnected; pongs do not count. */
  readonly idle?: string | number | undefined;
  /** In each worker. */
  readonly maxConnections: number;
  /** A service told of clients that come, go, and answer deliveries. */
  readonly hook?: string | undefined;
  readonly enabled: boolean;
}

const mebibyte = 1_048_576;
const maxFrameBytes = 20 * mebibyte;
const hourMs = 3_600_000;
const unitBytes = { '': 1, b: 1, kb: 1_024, mb: mebibyte } as const;
const mostConnections = 100_000;

const serviceName = z.string().refine(isName, { error: nameRule });

const schema: z.ZodType<WebSocketSpec> = z
  .strictObject({
    type: z.literal('websocket'),
    path: z.string().check(refusing(checkPath)),
    service: serviceName.optional(),
    gateway: z.boolean().default(false),
    allow: z.array(z.string().check(refusing(checkPattern))).optional(),
    security: serviceName.default(noSecurity),
    timeout: durationUpTo(hourMs, '1h').default('30s'),
    pingInterval: durationUpTo(hourMs, '1h').default('45s'),
    pingsMissed: z.int().min(1).max(100).default(2),
    tokenTtl: durationUpTo(365 * 24 * hourMs, '365d').default('1h'),
    loginTimeout: durationUpTo(hourMs, '1h').default('5s'),
    maxFrame: z.union([z.string(), z.number()]).check(refusing(frameBytesOf)).default('1mb'),
    idle: durationUpTo(24 * hourMs, '1d').optional(),
    maxConnections: z.int().min(1).max(mostConnections).default(10_000),
    hook: serviceName.optional(),
    enabled: z.boolean().default(true),
  })
  .refine(({ service, gateway }) => gateway === (service === undefined), {
    error: 'either a service or gateway: true is needed, not both',
    path: ['service'],
  })
  .refine(({ allow, gateway }) => gateway || allow === undefined, {
    error: 'only a gateway has it',
    path: ['allow'],
  });

/** WebSocket channels, as the store of definitions wants its types described. */
export function webSocketType(): DefinitionType<WebSocketSpec> {
  return {
    type: 'channel',
    section: 'channels',
    schema,
    references: ({ security }): readonly Reference[] =>
      security === noSecurity ? [] : [{ type: 'security', name: security }],
    conflicts: refuseSamePath,
  };
}

/** @throws Fault `bad-request` for what is not a size from 128 bytes to 20 MB. */
export function frameBytesOf(size: string | number): number {
  const match = /^(\d+(?:\.\d+)?)\s*(b|kb|mb)?$/.exec(String(size).trim().toLowerCase());
  const unit = (match?.[2] ?? '') as keyof typeof unitBytes;
  const bytes = match ? Number(match[1]) * unitBytes[unit] : 0;
  if (bytes >= 128 && bytes <= maxFrameBytes) return Math.floor(bytes);
  throw new Fault(
    'bad-request',
    `Not a size of a frame: "${size}" (write bytes, 64kb or 1mb, from 128 bytes to 20mb)`,
  );
}

export function allowedBy({ allow }: Pick<WebSocketSpec, 'allow'>): readonly string[] {
  return allow ?? defaultAllowed;
}

function refuseSamePath(
  name: string,
  spec: WebSocketSpec,
  others: ReadonlyMap<string, WebSocketSpec>,
): void {
  if (!spec.enabled) return;
  const path = normalizePath(spec.path);
  for (const [other, taken] of others) {
    // Of a definition type that has other kinds of channels too.
    if (taken.type !== spec.type) continue;
    if (other === name || !taken.enabled || normalizePath(taken.path) !== path) continue;
    throw new Fault(
      'conflict',
      `Channel ${name}: WebSocket clients at ${spec.path} are already served by channel ${other}`,
    );
  }
}

function durationUpTo(mostMs: number, most: string) {
  return z.union([z.string(), z.number()]).check(
    refusing((value: string | number) => {
      if (parseDuration(value) > mostMs) {
        throw new Fault('bad-request', `at most ${most}, not ${value}`);
      }
    }),
  );
}

/** A check of the schema out of a function that throws a Fault. */
function refusing<T>(check: (value: T) => unknown) {
  return (context: { readonly value: T; readonly issues: z.core.$ZodRawIssue[] }): void => {
    try {
      check(context.value);
    } catch (error) {
      if (!Fault.is(error)) throw error;
      context.issues.push({ code: 'custom', message: error.message, input: context.value });
    }
  };
}

import { z } from 'zod';
import type { DefinitionType, Reference } from '../../runtime/config/definition.ts';
import { parseDuration } from '../../runtime/core/duration.ts';
import { Fault } from '../../runtime/core/fault.ts';
import { isName, nameRule } from '../../runtime/core/name.ts';
import { noSecurity } from '../../runtime/security/basic-definition.ts';
import { isHeaderName, isHeaderValue, isReservedHeader } from './header-rules.ts';
import { parsePath, shapeOf } from './path-pattern.ts';

const methods = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'HEAD', 'OPTIONS'] as const;
const dataFormats = ['json', 'form', 'text', 'raw'] as const;

export type ChannelMethod = (typeof methods)[number] | 'any';
export type DataFormat = (typeof dataFormats)[number];

/** How requests to a path reach a service. */
export interface ChannelSpec {
  readonly type: 'http';
  readonly path: string;
  /** Whether a `{param}` also takes slashes. */
  readonly matchSlash: boolean;
  readonly method: ChannelMethod;
  readonly service: string;
  /** Name of a security definition, or `none`. */
  readonly security: string;
  /** How bodies are read, whatever their Content-Type says. */
  readonly dataFormat: DataFormat;
  /** A duration: `30s`. */
  readonly timeout: string | number;
  /** The longest body taken: bytes, or `64kb`, `1mb`. */
  readonly maxBody: string | number;
  /** Added to every reply. */
  readonly headers: Readonly<Record<string, string>>;
  readonly enabled: boolean;
}

const mebibyte = 1_048_576;
const maxBodyBytes = 20 * mebibyte;
const maxTimeoutMs = 3_600_000;
const unitBytes = { '': 1, b: 1, kb: 1_024, mb: mebibyte } as const;

const schema: z.ZodType<ChannelSpec> = z.strictObject({
  type: z.literal('http').default('http'),
  path: z.string().check(refusing(parsePath)),
  matchSlash: z.boolean().default(false),
  method: z.preprocess(spelledMethod, z.enum([...methods, 'any'])).default('any'),
  service: z.string().refine(isName, { error: nameRule }),
  security: z.string().refine(isName, { error: nameRule }).default(noSecurity),
  dataFormat: z.enum(dataFormats).default('json'),
  timeout: z.union([z.string(), z.number()]).check(refusing(timeoutOf)).default('30s'),
  maxBody: z.union([z.string(), z.number()]).check(refusing(bytesOf)).default('1mb'),
  headers: z.record(z.string(), z.string()).check(refusing(checkHeaders)).default({}),
  enabled: z.boolean().default(true),
});

/** Channels, as the store of definitions wants its types described. */
export function channelType(): DefinitionType<ChannelSpec> {
  return {
    type: 'channel',
    section: 'channels',
    schema,
    references: ({ security }): readonly Reference[] =>
      security === noSecurity ? [] : [{ type: 'security', name: security }],
    conflicts: refuseSameRequests,
  };
}

/** @throws Fault `bad-request` for what is not a length of time up to an hour. */
export function timeoutOf(timeout: string | number): number {
  const ms = parseDuration(timeout);
  if (ms <= maxTimeoutMs) return ms;
  throw new Fault('bad-request', `A timeout is at most 1h, not ${timeout}`);
}

/** @throws Fault `bad-request` for what is not a size from 1 byte to 20 MB. */
export function bytesOf(size: string | number): number {
  const match = /^(\d+(?:\.\d+)?)\s*(b|kb|mb)?$/.exec(String(size).trim().toLowerCase());
  const unit = (match?.[2] ?? '') as keyof typeof unitBytes;
  const bytes = match ? Number(match[1]) * unitBytes[unit] : 0;
  if (bytes >= 1 && bytes <= maxBodyBytes) return Math.floor(bytes);
  throw new Fault(
    'bad-request',
    `Not a body size: "${size}" (write bytes, 64kb or 1mb, up to 20mb)`,
  );
}

function refuseSameRequests(
  name: string,
  spec: ChannelSpec,
  others: ReadonlyMap<string, ChannelSpec>,
): void {
  if (!spec.enabled) return;
  const shape = shapeOfSpec(spec);
  for (const [other, taken] of others) {
    // Of a definition type that has other kinds of channels too.
    if (taken.type !== spec.type) continue;
    if (other === name || !taken.enabled || !sameMethods(spec.method, taken.method)) continue;
    if (shapeOfSpec(taken) !== shape) continue;
    throw new Fault(
      'conflict',
      `Channel ${name}: ${spec.method} ${spec.path} is already served by channel ${other} (${taken.method} ${taken.path})`,
    );
  }
}

function sameMethods(one: ChannelMethod, other: ChannelMethod): boolean {
  return one === other || one === 'any' || other === 'any';
}

/** A store keeps its specs, and compares each new one with all of them. */
const shapes = new WeakMap<ChannelSpec, string>();

function shapeOfSpec(spec: ChannelSpec): string {
  let shape = shapes.get(spec);
  if (shape === undefined) {
    shape = shapeOf(parsePath(spec.path), spec.matchSlash);
    shapes.set(spec, shape);
  }
  return shape;
}

function checkHeaders(headers: Readonly<Record<string, string>>): void {
  const seen = new Set<string>();
  for (const [name, value] of Object.entries(headers)) {
    if (!isHeaderName(name)) throw new Fault('bad-request', `Not a header name: "${name}"`);
    if (isReservedHeader(name)) throw new Fault('bad-request', `The header ${name} cannot be set`);
    if (seen.has(name.toLowerCase()))
      throw new Fault('bad-request', `The header ${name} is there twice`);
    if (!isHeaderValue(value)) {
      throw new Fault('bad-request', `The header ${name} has a character that headers cannot have`);
    }
    seen.add(name.toLowerCase());
  }
}

function spelledMethod(method: unknown): unknown {
  if (typeof method !== 'string') return method;
  return /^any$/i.test(method) ? 'any' : method.toUpperCase();
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

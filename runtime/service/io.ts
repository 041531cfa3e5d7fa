import type { StandardSchemaV1 } from '@standard-schema/spec';
import { Fault } from '../core/fault.ts';
import { compileFields, type FieldList, type Fields } from './simple-io.ts';

/** One side of a service's IO: a list of names, or any Standard Schema (zod, valibot, typebox, ...). */
type IoSide = FieldList | StandardSchemaV1;

/**
 * What a service takes and gives. Names are SimpleIO: `['user', '-subject']` or
 * `{ required: ['user'], optional: ['subject'] }`; a `-` in front makes a name optional.
 */
export interface ServiceIo {
  readonly input?: IoSide;
  readonly output?: IoSide;
  /** What an absent optional name becomes, on both sides. Absent names stay absent without it. */
  readonly default?: unknown;
  /** Defaults by name; these win over `default`. */
  readonly defaults?: Readonly<Record<string, unknown>>;
}

/** IO made ready: each function returns the checked value or throws a Fault. */
export interface Io {
  /** Undefined when the side is not declared: the value passes as it is. */
  readonly input: ((value: unknown, service: string) => unknown) | undefined;
  readonly output: ((value: unknown, service: string) => unknown) | undefined;
  readonly about: { readonly input: unknown; readonly output: unknown };
}

/** What a service's IO finds wrong with its input. */
export class InputFault extends Fault {
  constructor(message: string, details?: unknown) {
    super('bad-request', message, { details });
  }
}

const keys = ['input', 'output', 'default', 'defaults'];

/** @throws Fault `bad-request` for a key that is none of these: what is misspelt checks nothing. */
export function compileIo(io: ServiceIo | undefined, className: string): Io {
  for (const key of Object.keys(io ?? {})) {
    if (keys.includes(key)) continue;
    throw new Fault('bad-request', `${className}.io has "${key}", and knows ${keys.join(', ')}`);
  }
  const input = io?.input && sideOf(io.input, io, `${className}.io.input`);
  const output = io?.output && sideOf(io.output, io, `${className}.io.output`);
  return {
    input: input && ((value, service) => input.check(value, service, 'input')),
    output: output && ((value, service) => output.check(value, service, 'output')),
    about: { input: input?.about ?? null, output: output?.about ?? null },
  };
}

type Direction = 'input' | 'output';

interface Side {
  readonly about: unknown;
  check(value: unknown, service: string, direction: Direction): unknown;
}

function sideOf(side: IoSide, io: ServiceIo, where: string): Side {
  if ('~standard' in side) return schemaSide(side);
  const fields = compileFields(side, io, where);
  return {
    about: { required: fields.required, optional: fields.optional },
    check: (value, service, direction) =>
      direction === 'input'
        ? takeInput(fields, value, service)
        : giveOutput(fields, value, service),
  };
}

function takeInput(fields: Fields, value: unknown, service: string): unknown {
  if (!isRecord(value)) {
    throw new InputFault(`Service ${service} takes an object with ${fields.sentence}`);
  }
  const missing = fields.missing(value);
  if (missing.length === 0) return fields.pick(value);
  throw new InputFault(`Service ${service} needs ${missing.join(' and ')}`, { missing });
}

/** Text and bytes were serialised by the author; lists are filtered item by item. */
function giveOutput(fields: Fields, value: unknown, service: string): unknown {
  if (Array.isArray(value)) return value.map((item) => giveOutput(fields, item, service));
  if (!isRecord(value)) return value;
  const missing = fields.missing(value);
  if (missing.length === 0) return fields.pick(value);
  throw new Fault('internal', 'Internal error', {
    cause: new Error(`Service ${service} answered without ${missing.join(' and ')}`),
  });
}

function schemaSide(schema: StandardSchemaV1): Side {
  return {
    about: jsonSchemaOf(schema),
    check(value, service, direction) {
      const result = schema['~standard'].validate(value);
      if (result instanceof Promise) return result.then((done) => settle(done, service, direction));
      return settle(result, service, direction);
    },
  };
}

function settle(
  result: StandardSchemaV1.Result<unknown>,
  service: string,
  direction: Direction,
): unknown {
  if (!result.issues) return result.value;
  const problems = result.issues.map((issue) => ({
    path: (issue.path ?? [])
      .map((key) => String(typeof key === 'object' ? key.key : key))
      .join('.'),
    message: issue.message,
  }));
  const sentence = problems
    .map(({ path, message }) => (path ? `${path}: ${message}` : message))
    .join('; ');
  if (direction === 'input') {
    throw new InputFault(`Service ${service}: ${sentence}`, { problems });
  }
  throw new Fault('internal', 'Internal error', {
    cause: new Error(`Service ${service} answered out of its schema: ${sentence}`),
  });
}

/** JSON Schema of the input side where the library can give it (Standard JSON Schema), else null. */
function jsonSchemaOf(schema: StandardSchemaV1): unknown {
  const standard: unknown = schema['~standard'];
  if (!isRecord(standard) || !isRecord(standard['jsonSchema'])) return null;
  const input = standard['jsonSchema']['input'];
  if (typeof input !== 'function') return null;
  try {
    return input({ target: 'draft-2020-12' });
  } catch {
    return null; // a schema with transforms has no JSON Schema
  }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return (
    typeof value === 'object' &&
    value !== null &&
    !Array.isArray(value) &&
    !(value instanceof Uint8Array)
  );
}

import { isUtf8 } from 'node:buffer';
import { Fault } from '../../runtime/core/fault.ts';
import { parseJson } from '../../runtime/core/json.ts';
import type { DataFormat } from './definition.ts';
import type { Params } from './routes.ts';

export type Fields = Readonly<Record<string, string | readonly string[]>>;

/** The body as it came, and what it says. */
export interface Body {
  readonly raw: string | Buffer;
  /** Undefined when there is no body. */
  readonly value: unknown;
}

export const noFields: Fields = Object.freeze({});

const maxFields = 10_000;
const noBytes = Buffer.alloc(0);

/**
 * The body by the channel's data format, whatever its Content-Type says.
 * @throws Fault `bad-request` when the bytes are not of that format.
 */
export function parseBody(format: DataFormat, bytes: Buffer | undefined): Body {
  if (bytes === undefined || bytes.length === 0) {
    return { raw: format === 'raw' ? noBytes : '', value: undefined };
  }
  if (format === 'raw') return { raw: bytes, value: bytes };
  if (!isUtf8(bytes)) throw new Fault('bad-request', 'Body is not valid UTF-8');
  const text = bytes.toString('utf8');
  if (format === 'json') return { raw: text, value: parseJson(text) };
  return { raw: text, value: format === 'form' ? parseFields(text, 'Form') : text };
}

/**
 * The fields of a query or a form; a name given several times becomes a list.
 * @throws Fault `bad-request` for more than 10,000 fields and for the name `__proto__`.
 */
export function parseFields(text: string, what: string): Fields {
  const fields: Record<string, string | string[]> = {};
  let count = 0;
  for (const [name, value] of new URLSearchParams(text)) {
    if (++count > maxFields) {
      throw new Fault('bad-request', `${what} has more than ${maxFields} fields`);
    }
    if (name === '__proto__') throw new Fault('bad-request', `${what} has the field __proto__`);
    const before = Object.hasOwn(fields, name) ? fields[name] : undefined;
    if (before === undefined) fields[name] = value;
    else if (typeof before === 'string') fields[name] = [before, value];
    else before.push(value);
  }
  return fields;
}

/**
 * What the service's IO is checked against: path params win over the query, the query over the
 * body. A body that is not an object stays as it is, and no body at all is an empty object.
 */
export function mergeInput(body: unknown, query: Fields, params: Params): unknown {
  if (body !== undefined && !isObject(body)) return body;
  // Spreading defines keys and never calls setters, so no key reaches a prototype.
  return { ...(body as object | undefined), ...query, ...params };
}

function isObject(value: unknown): boolean {
  return (
    typeof value === 'object' && value !== null && !Array.isArray(value) && !Buffer.isBuffer(value)
  );
}

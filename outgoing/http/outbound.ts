import { Fault } from '../../runtime/core/fault.ts';
import type { OutgoingRequest } from '../../runtime/service/ports.ts';
import type { Method, OutgoingSpec } from './definition.ts';

/** A request ready for the wire; it can be sent again. */
export interface Outbound {
  readonly method: Method;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | Buffer | null;
}

export interface Draft {
  readonly name: string;
  readonly spec: OutgoingSpec;
  /** Headers of the definition, secrets included. */
  readonly headers: Readonly<Record<string, string>>;
  readonly cid: string;
  readonly method: Method;
  readonly data: unknown;
  readonly request: OutgoingRequest;
}

const contentTypes = {
  json: 'application/json',
  form: 'application/x-www-form-urlencoded',
  text: 'text/plain; charset=utf-8',
  raw: 'application/octet-stream',
} as const;

/** @throws Fault `bad-request` for a missing param or data that the format cannot carry. */
export function outbound(draft: Draft): Outbound {
  const body = bodyOf(draft);
  const headers: Record<string, string> = { 'user-agent': 'hence', ...draft.headers };
  if (body !== null) headers['content-type'] ??= typeOf(draft);
  for (const [name, value] of Object.entries(draft.request.headers ?? {})) {
    headers[name.toLowerCase()] = value;
  }
  headers['x-hence-cid'] = draft.cid;
  return { method: draft.method, path: pathOf(draft), headers, body };
}

function typeOf({ data, spec }: Draft): string {
  return data instanceof URLSearchParams ? contentTypes.form : contentTypes[spec.dataFormat];
}

function pathOf({ name, spec, request }: Draft): string {
  const left = new Map(Object.entries(request.params ?? {}));
  const base = new URL(spec.url).pathname.replace(/\/$/, '');
  const path = spec.path.replace(/\{([^}]+)\}/g, (_, param: string) => {
    const value = String(left.get(param) ?? '');
    left.delete(param);
    // A dot segment would climb out of the path, however it is escaped.
    if (value !== '' && value !== '.' && value !== '..') return encodeURIComponent(value);
    throw new Fault(
      'bad-request',
      `Outgoing ${name}: the path ${spec.path} needs the param "${param}"`,
    );
  });
  const query = new URLSearchParams();
  for (const [key, value] of left) query.append(key, String(value));
  return base + path + (query.size === 0 ? '' : `?${query}`);
}

function bodyOf({ name, spec, method, data }: Draft): string | Buffer | null {
  if (data === undefined) return null;
  if (method === 'GET' || method === 'HEAD') {
    throw new Fault(
      'bad-request',
      `Outgoing ${name}: ${method} carries no data; give params instead`,
    );
  }
  if (typeof data === 'string' || Buffer.isBuffer(data)) return data;
  if (data instanceof URLSearchParams) return data.toString();
  if (data instanceof Uint8Array) return Buffer.from(data);
  const text = serialise(spec.dataFormat, data);
  if (text !== undefined) return text;
  throw new Fault(
    'bad-request',
    `Outgoing ${name}: its data format ${spec.dataFormat} cannot carry this value`,
  );
}

function serialise(format: OutgoingSpec['dataFormat'], data: unknown): string | undefined {
  if (format === 'json') return toJson(data);
  if (format === 'form') return toForm(data);
  return format === 'text' && isScalar(data) ? String(data) : undefined;
}

function toJson(data: unknown): string | undefined {
  try {
    return JSON.stringify(data);
  } catch {
    // A cycle, or a BigInt.
    return undefined;
  }
}

/** Fields without a value are left out; a list gives its field several times. */
function toForm(data: unknown): string | undefined {
  if (typeof data !== 'object' || data === null || Array.isArray(data)) return undefined;
  const form = new URLSearchParams();
  for (const [key, value] of Object.entries(data)) {
    for (const item of Array.isArray(value) ? value : [value]) {
      if (item === undefined || item === null) continue;
      if (!isScalar(item)) return undefined;
      form.append(key, String(item));
    }
  }
  return form.toString();
}

function isScalar(value: unknown): value is string | number | boolean | bigint {
  return ['string', 'number', 'boolean', 'bigint'].includes(typeof value);
}

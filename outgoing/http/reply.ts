import { Fault } from '../../runtime/core/fault.ts';
import { parseJson } from '../../runtime/core/json.ts';
import type { OutgoingReply } from '../../runtime/service/ports.ts';
import type { OutgoingSpec } from './definition.ts';

export interface RawReply {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: Buffer;
}

/** A reply whose body is parsed when it is asked for. */
export class HttpReply implements OutgoingReply {
  readonly status: number;
  readonly ok: boolean;
  readonly headers: Readonly<Record<string, string>>;
  readonly text: string;
  readonly #name: string;
  readonly #format: OutgoingSpec['dataFormat'];
  readonly #body: Buffer;

  constructor(name: string, format: OutgoingSpec['dataFormat'], raw: RawReply) {
    this.#name = name;
    this.status = raw.status;
    this.ok = raw.status >= 200 && raw.status < 300;
    this.headers = joined(raw.headers);
    this.#body = raw.body;
    this.text = raw.body.toString('utf8').replace(/^\uFEFF/, '');
    this.#format = formatOf(this.headers['content-type']) ?? format;
  }

  /** What the reply says it is, else the connection's data format; the text where it does not parse. */
  get data(): unknown {
    if (this.#format === 'json') return this.#parsed() ?? this.text;
    if (this.#format === 'form') return formData(this.text);
    return this.#format === 'raw' ? this.#body : this.text;
  }

  json<T = unknown>(): T {
    try {
      return parseJson(this.text) as T;
    } catch (cause) {
      throw new Fault(
        'unavailable',
        `Outgoing ${this.#name}: its reply (status ${this.status}) is not JSON`,
        { cause },
      );
    }
  }

  /** A success that says it is JSON and is not: nobody can tell what happened. */
  get garbled(): boolean {
    const claimed = formatOf(this.headers['content-type']) === 'json';
    return this.ok && claimed && this.text !== '' && this.#parsed() === undefined;
  }

  #parsed(): unknown {
    try {
      return parseJson(this.text);
    } catch {
      return undefined;
    }
  }
}

function joined(headers: RawReply['headers']): Record<string, string> {
  const all: Record<string, string> = Object.create(null);
  for (const [name, value] of Object.entries(headers)) {
    if (value !== undefined) all[name] = Array.isArray(value) ? value.join(', ') : value;
  }
  return all;
}

function formatOf(contentType: string | undefined): OutgoingSpec['dataFormat'] | undefined {
  const type = contentType?.split(';', 1)[0]?.trim().toLowerCase() ?? '';
  if (type === 'application/json' || type.endsWith('+json')) return 'json';
  if (type === 'application/x-www-form-urlencoded') return 'form';
  return type.startsWith('text/') ? 'text' : undefined;
}

/** A field that came several times is a list. */
function formData(text: string): Record<string, string | readonly string[]> {
  const form = new URLSearchParams(text);
  const fields: Record<string, string | readonly string[]> = Object.create(null);
  for (const key of new Set(form.keys())) {
    const values = form.getAll(key);
    fields[key] = values.length === 1 ? (values[0] ?? '') : values;
  }
  return fields;
}

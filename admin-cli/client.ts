import { request as httpRequest, type IncomingMessage, type RequestOptions } from 'node:http';
import type { ErrorBody, Page, Problem } from '../runtime/admin/api.ts';
import type { Endpoint } from './endpoint.ts';
import { CliError } from './errors.ts';
import { exitCode, exitCodeOf } from './exit-code.ts';
import { span } from './format.ts';

export type Query = Readonly<Record<string, string | number | boolean | undefined>>;

export interface Call {
  readonly query?: Query;
  /** Sent as JSON. */
  readonly json?: unknown;
  /** Sent as JSON, which it is already. */
  readonly jsonText?: string;
  /** Sent as it is. */
  readonly text?: string | Buffer;
  /** The revision that must still be the newest. */
  readonly revision?: number;
  /** Replaces the client's own; 0 waits without end. */
  readonly timeoutMs?: number;
}

export interface ClientOptions {
  readonly timeoutMs: number;
  /** Told of each request: never of a token or a body. */
  readonly trace?: (line: string) => void;
}

const pageSize = 1_000;
const maxTimerMs = 2 ** 31 - 1;

/** The admin API over HTTP. Every failure is a CliError. */
export class AdminClient {
  readonly endpoint: Endpoint;
  readonly #options: ClientOptions;

  constructor(endpoint: Endpoint, options: ClientOptions) {
    this.endpoint = endpoint;
    this.#options = options;
  }

  /** A path of the API from its parts, each escaped. */
  static path(...parts: readonly string[]): string {
    return `/api/${parts.map(encodeURIComponent).join('/')}`;
  }

  get<T>(path: string, call: Call = {}): Promise<T> {
    return this.send<T>('GET', path, call);
  }

  async send<T>(method: string, path: string, call: Call = {}): Promise<T> {
    const text = await this.text(method, path, call);
    try {
      // The reply's shape is the contract of runtime/admin/api.ts.
      return (text === '' ? undefined : JSON.parse(text)) as T;
    } catch (error) {
      throw new CliError(exitCode.failed, `${this.endpoint.url} answered what is not JSON`, {
        fix: 'check --url: it must name the admin port',
        cause: error,
      });
    }
  }

  async text(method: string, path: string, call: Call = {}): Promise<string> {
    const started = performance.now();
    const reply = await this.#open(method, path, call);
    const text = await this.#read(reply);
    const status = reply.statusCode ?? 0;
    this.#options.trace?.(`${method} ${path} ${status} ${span(performance.now() - started)}`);
    if (status < 200 || status > 299) throw failure(status, text, path);
    return text;
  }

  /** As many items as asked for, in as many pages as that takes. */
  async list<T>(path: string, limit: number, query: Query = {}): Promise<Page<T>> {
    const items: T[] = [];
    let page: Page<T>;
    let after: string | undefined;
    do {
      const size = Math.min(pageSize, limit - items.length);
      page = await this.get<Page<T>>(path, { query: { ...query, limit: size, after } });
      items.push(...page.items);
      after = page.after;
    } while (after !== undefined && items.length < limit && page.items.length > 0);
    return { items, total: page.total, ...(after === undefined ? {} : { after }) };
  }

  /** The lines of a reply as they come. */
  async *lines(path: string, call: Call): AsyncGenerator<string> {
    const reply = await this.#open('GET', path, call);
    const status = reply.statusCode ?? 0;
    if (status !== 200) throw failure(status, await this.#read(reply), path);
    let rest = '';
    reply.setEncoding('utf8');
    try {
      for await (const chunk of reply) {
        const parts = (rest + String(chunk)).split('\n');
        rest = parts.pop() ?? '';
        yield* parts;
      }
    } catch (error) {
      throw this.#unreachable(error);
    }
    if (rest !== '') yield rest;
  }

  async #read(reply: IncomingMessage): Promise<string> {
    const chunks: Buffer[] = [];
    try {
      for await (const chunk of reply) chunks.push(chunk as Buffer);
    } catch (error) {
      throw this.#unreachable(error);
    }
    return Buffer.concat(chunks).toString('utf8');
  }

  async #open(method: string, path: string, call: Call): Promise<IncomingMessage> {
    const url = new URL(`${this.endpoint.url}${path}`);
    for (const [key, value] of Object.entries(call.query ?? {})) {
      if (value !== undefined) url.searchParams.set(key, String(value));
    }
    const body = call.json === undefined ? (call.jsonText ?? call.text) : JSON.stringify(call.json);
    const timeoutMs = call.timeoutMs ?? this.#options.timeoutMs;
    const options: RequestOptions = {
      method,
      headers: headersOf(this.endpoint.token, call, body),
      ...(timeoutMs > 0 ? { signal: AbortSignal.timeout(Math.min(timeoutMs, maxTimerMs)) } : {}),
    };
    const open = url.protocol === 'https:' ? (await import('node:https')).request : httpRequest;
    return new Promise((resolve, reject) => {
      const request = open(url, options, resolve);
      request.once('error', (error) => reject(this.#unreachable(error, timeoutMs)));
      request.end(body);
    });
  }

  #unreachable(error: unknown, timeoutMs = this.#options.timeoutMs): CliError {
    const { url } = this.endpoint;
    if (error instanceof Error && ['TimeoutError', 'AbortError'].includes(error.name)) {
      return new CliError(exitCode.timeout, `No answer from ${url} in ${span(timeoutMs)}`, {
        fix: 'give it longer: --timeout 5m',
        cause: error,
      });
    }
    const reason = (error as NodeJS.ErrnoException).code ?? String(error);
    const message =
      reason === 'ECONNREFUSED' ? `Hence is not running at ${url}` : `${url}: ${reason}`;
    return new CliError(exitCode.unreachable, message, { fix: 'npm start', cause: error });
  }
}

function headersOf(
  token: string | undefined,
  call: Call,
  body: string | Buffer | undefined,
): Record<string, string> {
  return {
    accept: 'application/json',
    ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
    ...(call.json === undefined && call.jsonText === undefined
      ? {}
      : { 'content-type': 'application/json' }),
    ...(call.text === undefined ? {} : { 'content-type': 'text/plain; charset=utf-8' }),
    ...(body === undefined ? {} : { 'content-length': String(Buffer.byteLength(body)) }),
    ...(call.revision === undefined ? {} : { 'if-match': `"${call.revision}"` }),
  };
}

function failure(status: number, text: string, path: string): CliError {
  const { error: body, cid } = errorBody(text);
  const code = exitCodeOf(status, body?.code);
  const message = body?.message ?? `Hence answered ${status}`;
  // What went wrong inside is in the log alone.
  const look = body?.code === 'internal' && cid ? `hence logs --cid ${cid}` : undefined;
  const problems = problemsOf(body?.details);
  return new CliError(code, message, {
    problems: problems.length === 1 && message === problems[0]?.message ? [] : problems,
    fix: look ?? fixFor(code, path),
  });
}

function errorBody(text: string): Partial<ErrorBody> {
  try {
    const body = JSON.parse(text) as Partial<ErrorBody>;
    return typeof body.error?.message === 'string' ? body : {};
  } catch {
    return {};
  }
}

/** A list of problems among the details, however it spells the place. */
function problemsOf(details: unknown): readonly Problem[] {
  if (!Array.isArray(details)) return [];
  return details.flatMap((item: unknown): Problem[] => {
    if (typeof item === 'string') return [{ where: '-', message: item }];
    if (typeof item !== 'object' || item === null) return [];
    const { where, path, message } = item as Partial<Record<string, unknown>>;
    if (typeof message !== 'string') return [];
    const place = where ?? (Array.isArray(path) ? path.join('.') : path);
    return [{ where: place === undefined || place === '' ? '-' : String(place), message }];
  });
}

function fixFor(code: number, path: string): string | undefined {
  if (code === exitCode.denied) {
    return 'give --token or HENCE_TOKEN, or run inside the folder of the running Hence';
  }
  if (code !== exitCode.notFound) return undefined;
  const [, , noun, type] = path.split('/');
  if (noun === 'definitions') return `hence ${type} list`;
  if (noun === 'services') return 'hence service list';
  if (noun === 'outgoing') return 'hence outgoing list';
  if (noun === 'invocations') return 'hence invocation list';
  if (noun === 'schedules') return 'hence schedule list';
  if (noun === 'queues') return 'hence message queues';
  if (noun === 'messages') return 'hence why MSG-ID tells what became of it';
  return undefined;
}

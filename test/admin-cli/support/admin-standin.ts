import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type {
  DefinitionView,
  ErrorBody,
  InvokeRequest,
  Status,
} from '../../../runtime/admin/api.ts';
import { httpStatus } from '../../../runtime/core/http-status.ts';

type Code = ErrorBody['error']['code'];

export interface Seen {
  readonly method: string;
  readonly path: string;
  readonly query: Readonly<Record<string, string>>;
  readonly headers: IncomingMessage['headers'];
  readonly body: string;
}

interface Answer {
  readonly status: number;
  readonly body?: unknown;
  readonly headers?: Record<string, string>;
}

class Refusal extends Error {
  readonly code: Code;
  readonly details: unknown;

  constructor(code: Code, message: string, details?: unknown) {
    super(message);
    this.code = code;
    this.details = details;
  }
}

/**
 * The admin API as `runtime/admin/api.ts` tells it, as strict as that: token, host, method, content
 * type, If-Match. What it does not know it refuses.
 */
export class AdminStandin {
  readonly token = 'token-of-the-test';
  readonly seen: Seen[] = [];
  ready = true;
  readonly definitions = new Map<string, Map<string, DefinitionView>>();
  readonly invocations = new Set(['dead-1', 'dead-2']);
  logLines: readonly object[] = [];
  standinCleared = false;
  onStop: () => void = () => {};
  #revision = 3;
  readonly #server: Server = createServer((request, response) => {
    void this.#serve(request, response);
  });
  readonly followers = new Set<ServerResponse>();

  async start(): Promise<string> {
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
    return this.url;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async stop(): Promise<void> {
    if (!this.#server.listening) return;
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, 'close');
  }

  put(type: string, name: string, spec: object): void {
    const revision = ++this.#revision;
    this.#typed(type).set(name, { ...spec, name, revision, updatedAt: new Date().toISOString() });
  }

  get last(): Seen {
    const seen = this.seen.at(-1);
    if (seen === undefined) throw new Error('No request came');
    return seen;
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const url = new URL(request.url ?? '/', 'http://127.0.0.1');
    const seen: Seen = {
      method: request.method ?? '',
      path: url.pathname,
      query: Object.fromEntries(url.searchParams),
      headers: request.headers,
      body: Buffer.concat(chunks).toString(),
    };
    this.seen.push(seen);
    let answer: Answer | undefined;
    try {
      answer = this.#route(seen, response);
    } catch (error) {
      const { code, message, details } = error as Refusal;
      answer = {
        status: httpStatus[code] ?? 500,
        body: { error: { code: code ?? 'internal', message, details }, cid: 'c1' },
      };
    }
    if (answer === undefined) return;
    const text = typeof answer.body === 'string' ? answer.body : JSON.stringify(answer.body);
    response.writeHead(answer.status, { 'content-type': 'application/json', ...answer.headers });
    response.end(answer.status === 204 ? undefined : text);
  }

  #route(seen: Seen, response: ServerResponse): Answer | undefined {
    if (!/^(127\.0\.0\.1|localhost|\[::1\])(:\d+)?$/.test(seen.headers.host ?? '')) {
      throw new Refusal('forbidden', 'Host not allowed');
    }
    if (seen.path === '/healthz') return { status: 200, body: {} };
    if (seen.headers.authorization !== `Bearer ${this.token}`) {
      throw new Refusal('unauthorized', 'The token is wrong');
    }
    const [, api, noun = '', one = '', two, three] = seen.path.split('/').map(decodeURIComponent);
    if (api !== 'api') throw new Refusal('not-found', `No such route: ${seen.path}`);
    switch (noun) {
      case 'status':
        return this.#only(seen, 'GET', { status: 200, body: this.status() });
      case 'stop':
        queueMicrotask(this.onStop);
        return this.#only(seen, 'POST', { status: 202, body: {} });
      case 'services':
        return this.#services(seen, one, two);
      case 'files':
        return this.#file(seen, one);
      case 'definitions':
        return this.#definition(seen, one, two);
      case 'config':
        return this.#config(seen, one);
      case 'outgoing':
        if (three !== undefined || two !== 'ping') throw new Refusal('not-found', 'No such route');
        return this.#only(seen, 'POST', { status: 200, body: this.#ping(one) });
      case 'kvdb':
        return this.#only(seen, 'POST', { status: 200, body: { result: this.#kvdb(seen) } });
      case 'standins':
        return this.#standin(seen, one);
      case 'invocations':
        return this.#invocation(seen, one, two);
      case 'logs':
        return this.#logs(seen, response);
      default:
        throw new Refusal('not-found', `No such route: ${seen.path}`);
    }
  }

  #only(seen: Seen, method: string, answer: Answer): Answer {
    if (seen.method === method) return answer;
    throw new Refusal('method-not-allowed', `${seen.path} wants ${method}`);
  }

  #json(seen: Seen): Record<string, unknown> {
    if (seen.headers['content-type'] !== 'application/json') {
      throw new Refusal('bad-request', 'Content-Type must be application/json');
    }
    return JSON.parse(seen.body) as Record<string, unknown>;
  }

  status(): Status {
    return {
      version: '0.1.0',
      node: 'v20.20.2',
      pid: process.pid,
      uptimeMs: 185_000,
      ready: this.ready,
      reasons: this.ready ? [] : ['redis is down'],
      channelsUrl: 'http://127.0.0.1:11223',
      adminUrl: this.url,
      redis: { url: 'unix:.hence/redis.sock', embedded: true, up: this.ready, version: '7.0.15' },
      revision: this.#revision,
      services: { deployed: 2, failed: 1 },
      failures: [],
      replaced: 0,
      workers: [
        {
          id: 1,
          pid: 4711,
          state: 'serving',
          uptimeMs: 184_000,
          rssBytes: 70_000_000,
          heapUsedBytes: 20_000_000,
          inFlight: 1,
          served: 1_204,
          retiredAlive: 0,
          stallMs: 2,
          sockets: 0,
        },
      ],
    };
  }

  #services(seen: Seen, name: string, verb: string | undefined): Answer {
    const views = [
      service('demo.log', 'ok'),
      service('orders.import', 'ok'),
      service('pushover.send-message', 'failed'),
    ];
    if (name === '') return this.#only(seen, 'GET', { status: 200, body: paged(views, seen) });
    if (verb === 'invoke') {
      const input = this.#json(seen) as InvokeRequest;
      return this.#only(seen, 'POST', { status: 200, body: invoke(name, input) });
    }
    const view = views.find((one) => one.name === name);
    if (view === undefined) throw new Refusal('not-found', `No such service: ${name}`);
    const more = {
      about: { input: { required: ['user', 'message'] } },
      history: [{ version: 2, hash: '3be1aa00ff11', at: '2026-01-01T00:00:00.000Z' }],
      channels: ['notify'],
      ...(view.state === 'failed' ? { failure: failureIn('services/pushover.ts') } : {}),
    };
    return this.#only(seen, 'GET', { status: 200, body: { ...view, ...more } });
  }

  #file(seen: Seen, file: string): Answer {
    if (!seen.headers['content-type']?.startsWith('text/plain')) {
      throw new Refusal('bad-request', 'Content-Type must be text/plain');
    }
    const broken = seen.body.includes('subject"');
    const deployed = { name: 'a.hello', file, version: 3, hash: '3be1aa00ff11' };
    return this.#only(seen, 'PUT', {
      status: 200,
      body: {
        id: 7,
        at: '2026-01-01T00:00:00.000Z',
        ms: 84,
        deployed: broken ? [] : [deployed],
        undeployed: [],
        failures: broken ? [failureIn(`services/${file}`)] : [],
      },
    });
  }

  #definition(seen: Seen, type: string, name: string | undefined): Answer {
    if (!['channel', 'outgoing', 'security'].includes(type)) {
      throw new Refusal('not-found', `No such type: ${type}`);
    }
    const all = this.#typed(type);
    if (name === undefined && seen.method === 'GET') {
      const items = [...all.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
      return { status: 200, body: paged(items, seen) };
    }
    if (name === undefined) return this.#only(seen, 'POST', this.#create(seen, type));
    const view = all.get(name);
    if (view === undefined) throw new Refusal('not-found', `No such ${type}: ${name}`);
    if (seen.method === 'GET') {
      return { status: 200, body: view, headers: { etag: `"${view.revision}"` } };
    }
    if (seen.headers['if-match'] !== `"${view.revision}"`) {
      throw new Refusal('conflict', `${type} ${name} moved to revision ${view.revision}`);
    }
    if (seen.method === 'DELETE') {
      all.delete(name);
      return { status: 204 };
    }
    const base = seen.method === 'PATCH' ? view : {};
    this.put(type, name, { ...base, ...this.#json(seen) });
    return { status: 200, body: all.get(name) };
  }

  #create(seen: Seen, type: string): Answer {
    const { name, ...spec } = this.#json(seen);
    if (this.#typed(type).has(String(name))) {
      throw new Refusal('conflict', `${type} ${name} exists`);
    }
    if (spec['path'] === 'no-slash') {
      throw new Refusal('bad-request', `channel ${name} is not valid`, [
        { where: 'path', message: 'must start with a slash' },
        { where: 'service', message: 'no such service' },
      ]);
    }
    this.put(type, String(name), spec);
    const shown = { ...this.#typed(type).get(String(name)), password: undefined };
    return { status: 201, body: shown };
  }

  #config(seen: Seen, verb: string): Answer {
    if (verb === 'export') {
      const body = 'channels:\n  - name: notify\n    path: /notify\n';
      return this.#only(seen, 'GET', {
        status: 200,
        body,
        headers: { 'content-type': 'text/yaml' },
      });
    }
    const { file, text } = this.#json(seen);
    if (String(text).includes('broken')) {
      throw new Refusal('bad-request', `${file} has 2 problems`, [
        { where: `${file}:3:5`, message: 'no such key: pth' },
        { where: `${file}:9:1`, message: 'no such security definition: partner' },
      ]);
    }
    return this.#only(seen, 'POST', {
      status: 200,
      body: {
        revision: 12,
        changes: [
          { action: 'created', type: 'channel', name: 'notify' },
          { action: 'changed', type: 'outgoing', name: 'pushover' },
          { action: 'unchanged', type: 'security', name: 'partner' },
        ],
      },
    });
  }

  #ping(name: string): object {
    if (!this.#typed('outgoing').has(name)) {
      throw new Refusal('not-found', `No such outgoing: ${name}`);
    }
    const url = 'https://api.pushover.net/';
    if (name === 'down') return { connection: name, url, ok: false, ms: 5, error: 'refused' };
    return { connection: name, url, ok: true, status: 200, ms: 41.2 };
  }

  #kvdb(seen: Seen): unknown {
    const { command } = this.#json(seen) as { command: string[] };
    if (command.some((part) => typeof part !== 'string')) {
      throw new Refusal('bad-request', 'command must be strings');
    }
    const replies: Readonly<Record<string, unknown>> = {
      hset: 1,
      set: 'OK',
      get: null,
      lrange: ['a', 'b "c"'],
      hgetall: { pushover: 'KEY' },
    };
    const [verb = ''] = command;
    if (!Object.hasOwn(replies, verb)) throw new Refusal('bad-request', `ERR unknown command`);
    return replies[verb];
  }

  #standin(seen: Seen, name: string): Answer {
    if (name !== 'pushover') throw new Refusal('not-found', `No such stand-in: ${name}`);
    if (seen.method === 'DELETE') {
      this.standinCleared = true;
      return { status: 204 };
    }
    const message = {
      at: new Date().toISOString(),
      title: 'Test message',
      message: 'hello\u001b[31m there',
      body: 'token=t&user=u&title=Test+message&message=hello',
      status: 200,
      reply: { status: 1, request: 'standin-01' },
    };
    return this.#only(seen, 'GET', {
      status: 200,
      body: { url: 'http://127.0.0.1:1', messages: [message] },
    });
  }

  #invocation(seen: Seen, id: string, verb: string | undefined): Answer {
    if (id === '') {
      const items = [...this.invocations].map((one) => ({
        id: one,
        service: 'orders.import',
        cid: 'c1',
        state: 'dead',
        attempts: 4,
        reason: 'Outgoing crm: no answer',
        createdAt: new Date().toISOString(),
      }));
      return this.#only(seen, 'GET', { status: 200, body: paged(items, seen) });
    }
    if (!this.invocations.has(id)) throw new Refusal('not-found', `No such invocation: ${id}`);
    if (verb === 'retry') return this.#only(seen, 'POST', { status: 200, body: {} });
    this.invocations.delete(id);
    return this.#only(seen, 'DELETE', { status: 204 });
  }

  #logs(seen: Seen, response: ServerResponse): undefined {
    response.writeHead(200, { 'content-type': 'application/x-ndjson' });
    for (const line of this.logLines) response.write(`${JSON.stringify(line)}\n`);
    if (seen.query['follow'] !== '1') response.end();
    else this.followers.add(response);
  }

  #typed(type: string): Map<string, DefinitionView> {
    const found = this.definitions.get(type) ?? new Map<string, DefinitionView>();
    this.definitions.set(type, found);
    return found;
  }
}

function paged<T extends { readonly name?: string; readonly id?: string }>(
  all: readonly T[],
  seen: Seen,
): object {
  const limit = Number(seen.query['limit'] ?? 100);
  if (!(limit >= 1 && limit <= 1_000)) throw new Refusal('bad-request', 'limit must be 1-1000');
  const key = (item: T): string => item.name ?? item.id ?? '';
  const after = seen.query['after'];
  const from = after === undefined ? 0 : all.findIndex((item) => key(item) === after) + 1;
  const items = all.slice(from, from + limit);
  const last = items.at(-1);
  const more = from + limit < all.length && last !== undefined;
  return { items, total: all.length, ...(more ? { after: key(last) } : {}) };
}

function service(name: string, state: 'ok' | 'failed') {
  return {
    name,
    state,
    file: `services/${name.split('.')[0]}.ts`,
    version: 2,
    hash: '3be1aa00ff11',
    deployedAt: new Date(Date.now() - 125_000).toISOString(),
    calls: 1_204,
    errors: 3,
    inFlight: 0,
  };
}

function failureIn(file: string): object {
  return {
    file,
    kind: 'compile',
    message: 'Expected ";" but found "subject"',
    line: 14,
    column: 22,
    frame: '   13 │ // before\n > 14 │     const title = input subject',
  };
}

function invoke(name: string, request: InvokeRequest): object {
  const known = Object.keys(httpStatus).find((code) => name === `fail-${code}`);
  if (known !== undefined) throw new Refusal(known as Code, `It failed: ${known}`);
  const cid = request.cid ?? '0f7a41c2';
  const reply = { cid, service: name, version: 1, ms: 6.1 };
  return request.async === true ? { ...reply, id: 'job-1' } : { ...reply, payload: request.input };
}

import { randomUUID } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { StandinMessage } from '../../runtime/admin/api.ts';
import { type Answer, PushoverApi, problems, refusal } from './api.ts';
import { readBody } from './body.ts';
import { isFailing, isMode, type Mode, ModeSwitch, misbehave, modes } from './mode.ts';
import type { Callback } from './receipts.ts';
import { Watch } from './watch.ts';

export interface PushoverStandinOptions {
  /** 0, the default, is any free one. */
  readonly port?: number;
  /** Default 127.0.0.1. */
  readonly host?: string;
  /** Unix time in ms; the system's clock when absent. */
  readonly now?: () => number;
  /** Messages a month; default 10,000. */
  readonly quota?: number;
  /** Told of each call of messages.json, refused ones included. */
  readonly onMessage?: (message: StandinMessage) => void;
}

export interface StandinRequest {
  /** ISO 8601. */
  readonly at: string;
  readonly method: string;
  readonly path: string;
  readonly body: string;
  /** 0 when nothing was answered. */
  readonly status: number;
}

const maxKept = 1_000;
const callbackTimeoutMs = 5_000;

/** A server that answers as Pushover does, as strictly, and shows what would have been sent. */
export class PushoverStandin {
  readonly #options: PushoverStandinOptions;
  readonly #now: () => number;
  readonly #api: PushoverApi;
  readonly #watch: Watch;
  readonly #mode = new ModeSwitch();
  #server: Server | undefined;
  #messages: readonly StandinMessage[] = [];
  #requests: readonly StandinRequest[] = [];

  constructor(options: PushoverStandinOptions = {}) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
    this.#api = new PushoverApi(this.#now, options.quota);
    this.#watch = new Watch(this.#now);
  }

  /** Resolves with its URL once it listens. */
  async start(): Promise<string> {
    const server = this.#server ?? this.#newServer();
    this.#server = server;
    if (!server.listening)
      await listen(server, this.#options.port ?? 0, this.#options.host ?? '127.0.0.1');
    const { address, port, family } = server.address() as AddressInfo;
    return `http://${family === 'IPv6' ? `[${address}]` : address}:${port}`;
  }

  async stop(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    if (server === undefined) return;
    const closed = new Promise((resolve) => server.close(resolve));
    server.closeAllConnections();
    await closed;
  }

  /** Messages that came, newest first, with what was answered. */
  messages(): readonly StandinMessage[] {
    return this.#messages;
  }

  /** Everything that came, oldest first, and every rule of good behaviour that was broken. */
  log() {
    return {
      requests: this.#requests,
      violations: this.#watch.violations,
      sockets: this.#watch.sockets,
    };
  }

  /** How it answers from now on, or for the next `count` calls. */
  mode(mode: Mode, count?: number): void {
    this.#mode.set(mode, count);
  }

  /** Acknowledges an emergency message, as a person does on the phone; resolves after its callback. */
  async acknowledge(receipt: string): Promise<void> {
    const callback = this.#api.receipts.acknowledge(receipt);
    if (callback !== undefined) await callBack(callback);
  }

  /** Forgets messages, log, violations, receipts and the quota used; answers as it should again. */
  clear(): void {
    this.#messages = [];
    this.#requests = [];
    this.#watch.clear();
    this.#api.clear();
    this.#mode.set('ok');
  }

  #newServer(): Server {
    const server = createServer((request, response) => {
      // A client that goes away in the middle is no concern of ours.
      this.#serve(request, response).catch(() => response.destroy());
    });
    server.on('connection', (socket) => this.#watch.opened(socket));
    return server;
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', 'http://standin');
    const body = await readBody(request);
    const text = body?.toString('utf8') ?? '';
    const seen = {
      at: new Date(this.#now()).toISOString(),
      method: request.method ?? '',
      path: url.pathname,
      body: text,
    };
    if (url.pathname.startsWith('/__')) {
      this.#control(seen, response);
      return;
    }
    const mode = url.pathname.startsWith('/1/') ? this.#mode.take() : 'ok';
    const answer = await this.#answer(mode, url, request, body);
    if (isFailing(mode)) this.#watch.failed(text);
    const status = misbehave(mode, response, JSON.stringify(answer.reply))
      ? statusOf(mode)
      : answer.status;
    this.#requests = [...this.#requests.slice(1 - maxKept), { ...seen, status }];
    if (url.pathname === '/1/messages.json') this.#received(seen, answer, status);
    if (mode !== 'hang' && !response.writableEnded && !response.headersSent) send(response, answer);
  }

  async #answer(
    mode: Mode,
    url: URL,
    request: IncomingMessage,
    body: Buffer | undefined,
  ): Promise<Answer> {
    if (this.#watch.banned()) return refusal(403, 'your IP address has been temporarily blocked');
    const repeated =
      body !== undefined && body.length > 0 && this.#watch.repeatedTooSoon(body.toString('utf8'));
    const answer = repeated
      ? refusal(400, 'the same request came again less than 5 seconds after it failed')
      : await this.#moody(mode, url, request, body);
    // A used-up quota is no fault of the request.
    if (answer.status >= 400 && answer.status < 500 && answer.status !== 429) this.#watch.refused();
    return answer;
  }

  async #moody(
    mode: Mode,
    url: URL,
    request: IncomingMessage,
    body: Buffer | undefined,
  ): Promise<Answer> {
    if (mode === '429') return this.#api.overQuota();
    if (mode === '500') return refusal(500, 'internal server error');
    if (mode === '200-status0')
      return problems([{ field: 'user', text: 'user identifier is invalid' }], 200);
    if (body === undefined) return refusal(413, 'request is too large');
    const type = request.headers['content-type'] ?? '';
    return this.#api.answer({ method: request.method ?? '', url, type, body });
  }

  #received(seen: Omit<StandinRequest, 'status'>, answer: Answer, status: number): void {
    const { title = '', message = '' } = answer.fields ?? {};
    const received = { at: seen.at, title, message, body: seen.body, status, reply: answer.reply };
    this.#messages = [received, ...this.#messages.slice(0, maxKept - 1)];
    this.#options.onMessage?.(received);
  }

  #control(
    { method, path, body }: Pick<StandinRequest, 'method' | 'path' | 'body'>,
    response: ServerResponse,
  ): void {
    if (method === 'GET' && path === '/__log') {
      send(response, { status: 200, reply: this.log() });
      return;
    }
    const wanted = method === 'POST' && path === '/__mode' ? modeOf(body) : undefined;
    if (wanted === undefined) {
      const error = `GET /__log, or POST /__mode {"status": one of ${modes.join(' ')}, "count": calls}`;
      send(response, { status: 400, reply: { error } });
      return;
    }
    this.#mode.set(wanted.mode, wanted.count);
    send(response, { status: 200, reply: wanted });
  }
}

function modeOf(body: string): { readonly mode: Mode; readonly count?: number } | undefined {
  let asked: unknown;
  try {
    asked = JSON.parse(body);
  } catch {
    return undefined;
  }
  if (typeof asked !== 'object' || asked === null || !('status' in asked)) return undefined;
  const mode = String(asked.status);
  if (!isMode(mode)) return undefined;
  const count = 'count' in asked ? asked.count : undefined;
  return typeof count === 'number' && count > 0 ? { mode, count } : { mode };
}

/** What a client sees of a mode that goes its own way. */
function statusOf(mode: Mode): number {
  if (mode === 'hang' || mode === 'rst') return 0;
  return mode === 'html500' ? 500 : 200;
}

function send(response: ServerResponse, { status, reply, headers = {} }: Answer): void {
  const text = JSON.stringify(reply);
  response.writeHead(status, {
    'Content-Type': 'application/json; charset=utf-8',
    'Content-Length': Buffer.byteLength(text),
    'X-Request-Id': 'request' in reply ? String(reply.request) : randomUUID(),
    ...headers,
  });
  response.end(text);
}

function listen(server: Server, port: number, host: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, () => {
      server.off('error', reject);
      resolve();
    });
  });
}

async function callBack({ url, form, done }: Callback): Promise<void> {
  const reply = await fetch(url, {
    method: 'POST',
    body: form,
    signal: AbortSignal.timeout(callbackTimeoutMs),
  });
  await reply.arrayBuffer();
  if (reply.ok) done();
}

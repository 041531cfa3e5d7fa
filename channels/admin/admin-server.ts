import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import process from 'node:process';
import Koa, { type Context, type Next } from 'koa';
import type { Admin } from '../../runtime/admin/admin.ts';
import type { ErrorBody } from '../../runtime/admin/api.ts';
import { cidFrom } from '../../runtime/core/cid.ts';
import { Fault } from '../../runtime/core/fault.ts';
import { httpStatus } from '../../runtime/core/http-status.ts';
import type { Logger } from '../../runtime/log/logger.ts';
import { checkHost, checkToken } from './guard.ts';
import { type AdminState, adminRoutes } from './routes.ts';
import { newToken, removeTokenFile, writeTokenFile } from './token-file.ts';

export interface AdminServerOptions {
  readonly admin: Admin;
  /** Where `admin.json` is kept while it listens: how the CLI finds it. */
  readonly dataDir: string;
  readonly log: Logger;
}

/** Where to listen. */
export interface AdminAddress {
  /** A loopback address: who reaches the admin API can deploy code. */
  readonly host?: string;
  /** 0 is any that is free. */
  readonly port?: number;
  /** Take the next free port when this one is not. */
  readonly orNext?: boolean;
  /** Not this one: it is bound already, though nobody listens on it yet. */
  readonly avoid?: number;
}

const defaultPort = 11_224;
const portsToTry = 50;
const loopbackHosts = ['127.0.0.1', 'localhost', '::1'];
/** How long requests may go on after `stop`. */
const stopGraceMs = 1_000;

/** The admin API over HTTP, on this machine only. */
export class AdminServer {
  readonly #options: AdminServerOptions;
  readonly #token = newToken();
  #server: Server | undefined;
  #stopping = new AbortController();
  #url = '';

  constructor(options: AdminServerOptions) {
    this.#options = options;
  }

  /** Where it listens: `http://127.0.0.1:11224`; empty when it does not. */
  get url(): string {
    return this.#url;
  }

  /** What callers must show: a secret, for the log to take out. */
  get token(): string {
    return this.#token;
  }

  /**
   * @returns its URL.
   * @throws Fault `conflict` when the port is taken, `bad-request` for a host that is not this machine.
   */
  async start({
    host = '127.0.0.1',
    port = defaultPort,
    orNext = true,
    avoid,
  }: AdminAddress = {}): Promise<string> {
    if (this.#server) return this.#url;
    const { dataDir, log } = this.#options;
    if (!loopbackHosts.includes(host)) {
      throw new Fault('bad-request', `The admin API listens on this machine only, not on ${host}`);
    }
    this.#stopping = new AbortController();
    const server = this.#serve();
    const bound = await listen(server, host, {
      first: port,
      last: orNext ? port + portsToTry : port,
      avoid,
    });
    if (port !== 0 && bound !== port) log.warn('admin port is taken', { port, instead: bound });
    this.#server = server;
    this.#url = `http://${host === '::1' ? '[::1]' : host}:${bound}`;
    try {
      const startedAt = new Date().toISOString();
      const { pid } = process;
      await writeTokenFile(dataDir, { url: this.#url, token: this.#token, pid, startedAt });
      return this.#url;
    } catch (error) {
      await this.stop();
      throw error;
    }
  }

  async stop(): Promise<void> {
    const server = this.#server;
    if (!server) return;
    this.#server = undefined;
    this.#url = '';
    this.#stopping.abort();
    await removeTokenFile(this.#options.dataDir, this.#token);
    const closed = once(server, 'close');
    server.close();
    server.closeIdleConnections();
    const timer = setTimeout(() => server.closeAllConnections(), stopGraceMs);
    await closed;
    clearTimeout(timer);
  }

  #serve(): Server {
    const handle = this.#app().callback();
    return createServer(
      {
        connectionsCheckingInterval: 500,
        headersTimeout: 10_000,
        requestTimeout: 30_000,
        keepAliveTimeout: 5_000,
        maxHeaderSize: 16_384,
      },
      (request, response) => void handle(request, response),
    );
  }

  #app(): Koa<AdminState> {
    const { admin, log } = this.#options;
    const app = new Koa<AdminState>();
    // Only what breaks while a reply streams comes here; there is nobody left to tell.
    app.on('error', (error: unknown) => log.debug('admin reply broke off', { error }));
    app.use((ctx, next) => this.#frame(ctx, next));
    app.use((ctx, next) => this.#guard(ctx, next));
    app.use(adminRoutes(admin).routes());
    app.use(refuseUnmatched);
    return app;
  }

  /** Headers and the correlation id of every reply, and the one place where errors become replies. */
  async #frame(ctx: Context, next: Next): Promise<void> {
    const cid = cidFrom(ctx.get('X-Hence-CID') || undefined);
    ctx.state = { cid, stopping: this.#stopping.signal } satisfies AdminState;
    ctx.set({
      'X-Hence-CID': cid,
      'Cache-Control': 'no-store',
      'X-Content-Type-Options': 'nosniff',
    });
    const { log } = this.#options;
    try {
      await next();
      if (log.debugging) {
        log.debug('admin request', { cid, method: ctx.method, path: ctx.path, status: ctx.status });
      }
    } catch (error) {
      const fault = Fault.from(error);
      if (fault.code === 'internal') {
        log.error('admin request failed', { cid, method: ctx.method, path: ctx.path, error });
      } else if (log.debugging) {
        log.debug('admin request refused', { cid, code: fault.code, reason: fault.message });
      }
      reply(ctx, fault, cid);
    }
  }

  async #guard(ctx: Context, next: Next): Promise<void> {
    if (ctx.path !== '/healthz' && ctx.path !== '/readyz') {
      checkHost(ctx.req, ctx.req.socket.localPort ?? 0);
      checkToken(ctx.req, this.#token);
    }
    await next();
  }
}

function reply(ctx: Context, { code, message, details, retryAfterMs }: Fault, cid: string): void {
  if (ctx.headerSent) return;
  if (code === 'unauthorized') ctx.set('WWW-Authenticate', 'Bearer realm="hence"');
  if (retryAfterMs !== undefined) ctx.set('Retry-After', String(Math.ceil(retryAfterMs / 1_000)));
  const error = { code, message, ...(details === undefined ? {} : { details }) };
  ctx.status = httpStatus[code];
  ctx.body = { error, cid } satisfies ErrorBody;
}

/** Only requests that no route has taken come here. */
function refuseUnmatched(ctx: Context): void {
  const matched: readonly { readonly methods: readonly string[] }[] = ctx['matched'] ?? [];
  const methods = [...new Set(matched.flatMap((layer) => layer.methods))];
  if (methods.length === 0) throw new Fault('not-found', `No such path: ${ctx.path}`);
  ctx.set('Allow', methods.join(', '));
  throw new Fault('method-not-allowed', `${ctx.path} does not take ${ctx.method}`);
}

/** Listens on the first free port of the range. */
async function listen(
  server: Server,
  host: string,
  range: { readonly first: number; readonly last: number; readonly avoid: number | undefined },
): Promise<number> {
  const { first, last, avoid } = range;
  for (let port = first; port <= Math.min(last, 65_535); port++) {
    if (port === avoid) continue;
    try {
      server.listen({ host, port, exclusive: true });
      await once(server, 'listening');
      return (server.address() as AddressInfo).port;
    } catch (error) {
      const taken = error instanceof Error && 'code' in error && error.code === 'EADDRINUSE';
      if (!taken) throw error;
    }
  }
  const ports = first === last ? `port ${first} is` : `ports ${first}-${last} are`;
  throw new Fault('conflict', `The admin API cannot start: ${ports} taken on ${host}`);
}

import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { type IncomingHttpHeaders, request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { AdminServer } from '../../../channels/admin/admin-server.ts';
import { Admin, type AdminPorts } from '../../../runtime/admin/admin.ts';
import type { InvokeRequest, ServiceView } from '../../../runtime/admin/api.ts';
import { Fault } from '../../../runtime/core/fault.ts';
import { LogHub } from '../../../runtime/log/log-hub.ts';
import { Redactor } from '../../../runtime/log/redact.ts';
import { memoryLog, openStore, type TestStore } from '../../config/fixture.ts';
import { startRedis, type TestRedis } from '../../support/redis.ts';

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
  readonly json: unknown;
}

export interface Ask {
  readonly body?: string | Buffer | object;
  readonly headers?: Readonly<Record<string, string | readonly string[]>>;
  /** Leave out the token. */
  readonly anonymous?: boolean;
}

/** A whole admin API on a real Redis; its services and other parts are the test's own. */
export class AdminBench {
  readonly log = memoryLog();
  readonly invoked: (InvokeRequest & { readonly name: string })[] = [];
  readonly files: { readonly file: string; readonly text: string; readonly check: boolean }[] = [];
  readonly commands: (readonly string[])[] = [];
  ready = true;
  stops = 0;
  /** How many follow the log now. */
  followers = 0;
  services: ServiceView[] = [];
  dir = '';
  url = '';
  token = '';
  server: AdminServer;
  readonly hub = new LogHub({
    format: 'json',
    out: new Writable({ write: (_chunk, _encoding, done) => done() }),
    colour: false,
    redactor: new Redactor(),
  });
  readonly write = this.hub.input();
  readonly #redis: TestRedis;
  readonly definitions: TestStore;

  static async open(): Promise<AdminBench> {
    const redis = await startRedis();
    const bench = new AdminBench(redis, await openStore(redis.path));
    bench.dir = await mkdtemp(join(tmpdir(), 'hence-test-admin-'));
    bench.server = bench.another();
    bench.url = await bench.server.start({ port: 0 });
    bench.token = JSON.parse(await readFile(join(bench.dir, 'admin.json'), 'utf8')).token;
    return bench;
  }

  constructor(redis: TestRedis, definitions: TestStore) {
    this.#redis = redis;
    this.definitions = definitions;
    this.server = this.another();
  }

  another(): AdminServer {
    return new AdminServer({ admin: this.#admin(), dataDir: this.dir, log: this.log });
  }

  get port(): number {
    return Number(new URL(this.url).port);
  }

  async clear(): Promise<void> {
    const { store } = this.definitions;
    const all = ['door', 'key'].flatMap((type) => store.list(type));
    await store.change(all.map(({ type, name }) => ({ action: 'delete', type, name })));
  }

  async close(): Promise<void> {
    await this.server.stop();
    await this.definitions.close();
    await this.#redis.stop();
    await rm(this.dir, { recursive: true, force: true });
  }

  ask(method: string, path: string, { body, headers, anonymous }: Ask = {}): Promise<Answer> {
    const json = typeof body === 'object' && !Buffer.isBuffer(body);
    return new Promise((resolve, reject) => {
      const outgoing = request(
        {
          host: '127.0.0.1',
          port: this.port,
          method,
          path,
          agent: false,
          headers: {
            ...(anonymous ? {} : { authorization: `Bearer ${this.token}` }),
            ...(json ? { 'content-type': 'application/json' } : {}),
            ...headers,
          },
        },
        (reply) => {
          const chunks: Buffer[] = [];
          reply.on('data', (chunk: Buffer) => chunks.push(chunk));
          reply.on('error', reject);
          reply.on('end', () => {
            const text = Buffer.concat(chunks).toString();
            const status = reply.statusCode ?? 0;
            resolve({ status, headers: reply.headers, text, json: jsonOf(text) });
          });
        },
      );
      outgoing.on('error', reject);
      outgoing.end(json ? JSON.stringify(body) : body);
    });
  }

  #admin(): Admin {
    const standin = { url: 'http://127.0.0.1:1', messages: [] };
    const known = (name: string) => {
      if (name !== 'pushover') throw new Fault('not-found', `No such connection: ${name}`);
    };
    return new Admin({
      // Tested with a broker of their own.
      ...({} as Pick<AdminPorts, 'messages' | 'queues' | 'journeys' | 'schedules'>),
      definitions: this.definitions.store,
      env: (name) => (name === 'HOST' ? 'example.org' : undefined),
      logs: {
        query: (query) => this.hub.query(query),
        follow: (query, listener) => {
          const stop = this.hub.follow(query, listener);
          this.followers++;
          return () => {
            this.followers--;
            stop();
          };
        },
      },
      system: {
        status: async () => {
          throw new TypeError('a bug at /secret/place.ts:1:1');
        },
        readiness: async () => ({ ready: this.ready, reasons: this.ready ? [] : ['no worker'] }),
        stop: () => {
          this.stops++;
        },
      },
      services: {
        list: async () => this.services,
        show: async (name) => this.services.find((one) => one.name === name),
        invoke: async (name, call) => {
          this.invoked.push({ name, ...call });
          if (name === 'busy') throw new Fault('too-many', 'busy', { retryAfterMs: 1_500 });
          return { cid: call.cid, service: name, version: 3, ms: 1, payload: call.input };
        },
        deployFile: async (file, text, { check }) => {
          this.files.push({ file, text, check });
          return report(9);
        },
        reports: () => [3, 2, 1].map(report),
      },
      outgoing: {
        ping: async (name) => {
          known(name);
          return { connection: name, url: 'http://127.0.0.1:1', ok: true, status: 200, ms: 1 };
        },
      },
      kvdb: {
        command: async (words) => {
          this.commands.push(words);
          return ['OK', null, 1];
        },
      },
      standins: {
        show: async (name) => {
          known(name);
          return standin;
        },
        clear: async (name) => known(name),
      },
      invocations: {
        list: async ({ state, limit, after }) => ({
          items: [],
          total: 0,
          after: `${state}-${limit}-${after}`,
        }),
        retry: async (id) => known(id),
        delete: async (id) => known(id),
      },
    });
  }
}

export function service(name: string): ServiceView {
  return {
    name,
    file: `services/${name}.ts`,
    version: 1,
    hash: 'abc',
    state: 'ok',
    deployedAt: '2026-01-01T00:00:00.000Z',
    calls: 0,
    errors: 0,
    inFlight: 0,
  };
}

function report(id: number) {
  const at = '2026-01-01T00:00:00.000Z';
  return { id, at, ms: 1, deployed: [], undeployed: [], failures: [] };
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

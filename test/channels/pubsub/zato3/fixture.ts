import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { Agent, type Dispatcher, request } from 'undici';
import { ChannelServer } from '../../../../channels/http/channel-server.ts';
import { createHttpServer } from '../../../../channels/http/http-server.ts';
import type { BrokerPort } from '../../../../channels/pubsub/zato3/ports.ts';
import { Zato3Door } from '../../../../channels/pubsub/zato3/zato3-door.ts';
import { Authenticator } from '../../../../runtime/security/authenticator.ts';
import { PasswordHasher } from '../../../../runtime/security/password.ts';
import { gather, type Parties, type PartiesOptions } from '../../../support/parties.ts';
import type { TestRedis } from '../../../support/redis.ts';

const users = ['crm', 'erp', 'sender', 'listener', 'stranger'];

/** crm and erp do both, in /customer; sender and listener one of the two; stranger has no endpoint. */
const endpoints = {
  CRM: { security: 'crm', publish: ['/customer/*'], subscribe: ['/customer/*'] },
  ERP: { security: 'erp', publish: ['/customer/*'], subscribe: ['/customer/**'] },
  Sender: { security: 'sender', role: 'pub-only', publish: ['/customer/*', '/undefined'] },
  Listener: { security: 'listener', role: 'sub-only', subscribe: ['/customer/*', '/undefined'] },
} as const;

const topics = {
  '/customer/created': { enabled: true },
  '/customer/new one': { enabled: true },
  '/customer/off': { enabled: false },
  '/customer/small': { enabled: true, maxSize: 10 },
  '/customer/rules': { enabled: true, priority: 8, expirationMs: 60_000 },
  '/other': { enabled: true },
};

let authenticating: Promise<Authenticator> | undefined;

/** One for all worlds: it takes its time to check a password, on purpose. */
export function knownUsers(): Promise<Authenticator> {
  authenticating ??= (async () => {
    const hasher = new PasswordHasher();
    const authenticator = new Authenticator(hasher);
    const passwordHash = await hasher.hash('password');
    authenticator.update(
      users.map((name) => ({ name, spec: { type: 'basic', username: name, passwordHash } })),
    );
    return authenticator;
  })();
  return authenticating;
}

export function basic(user: string, password = 'password'): string {
  return `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`;
}

interface Answer {
  readonly status: number;
  readonly headers: Dispatcher.ResponseData['headers'];
  readonly text: string;
  readonly json: Readonly<Record<string, unknown>>;
}

interface Asking {
  /** Null for nobody. */
  readonly user?: string | null;
  readonly headers?: Readonly<Record<string, string>>;
}

export interface World {
  readonly port: number;
  readonly parties: Parties;
  readonly door: Zato3Door;
  /** A request with JSON, or with the text or bytes as they are; by crm. */
  ask(method: string, path: string, body?: unknown, asking?: Asking): Promise<Answer>;
  publish(body: unknown, asking?: Asking): Promise<Answer>;
  subscribe(asking?: Asking): Promise<Answer>;
  get(asking?: Asking): Promise<readonly Readonly<Record<string, unknown>>[]>;
}

export interface WorldOptions extends PartiesOptions {
  readonly broker?: (real: BrokerPort) => BrokerPort;
}

const open: (() => Promise<void>)[] = [];

/** The door behind a real server and in front of a real broker. */
export async function serving(redis: TestRedis, options: WorldOptions = {}): Promise<World> {
  const parties = await gather(redis, { endpoints, topics, ...options });
  const { broker } = parties.broker;
  const authenticator = await knownUsers();
  const door = new Zato3Door({
    broker: options.broker ? options.broker(broker) : broker,
    endpoints: parties.endpoints,
    endpointBroker: parties.endpointBroker,
    authenticator,
    log: parties.log,
  });
  const channels = new ChannelServer({
    authenticator,
    log: parties.log,
    invoke: async () => ({ payload: 'x', statusCode: 200, headers: {}, contentType: undefined }),
    fallback: door.handle,
  });
  const server = createHttpServer(channels.handle);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const agent = new Agent({ pipelining: 1, connections: 20 });
  open.push(async () => {
    await agent.destroy();
    const closed = once(server, 'close');
    server.close();
    server.closeAllConnections();
    await Promise.all([closed, door.drain()]);
    parties.close();
  });
  const ask: World['ask'] = async (method, path, body, { user = 'crm', headers = {} } = {}) => {
    const authorization = user === null ? {} : { authorization: basic(user) };
    const raw = typeof body === 'string' || Buffer.isBuffer(body) || body === undefined;
    const reply = await request(`http://127.0.0.1:${port}${path}`, {
      method: method as 'POST',
      body: (raw ? body : JSON.stringify(body)) as string,
      headers: { ...authorization, ...headers },
      dispatcher: agent,
    });
    const text = await reply.body.text();
    const isJson = reply.headers['content-type'] === 'application/json' && text !== '';
    return {
      status: reply.statusCode,
      headers: reply.headers,
      text,
      json: isJson ? JSON.parse(text) : {},
    };
  };
  return {
    port,
    parties,
    door,
    ask,
    publish: (body, asking) => ask('POST', '/zato/pubsub/topic//customer/created', body, asking),
    subscribe: (asking) =>
      ask('POST', '/zato/pubsub/subscribe/topic//customer/created', undefined, asking),
    get: async (asking) => {
      const { json } = await ask(
        'PATCH',
        '/zato/pubsub/topic//customer/created',
        undefined,
        asking,
      );
      return json as unknown as readonly Readonly<Record<string, unknown>>[];
    },
  };
}

export async function stopAll(): Promise<void> {
  await Promise.all(open.splice(0).map((stop) => stop()));
}

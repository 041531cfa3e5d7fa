import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import type { IncomingHttpHeaders } from 'node:http';
import { request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { ChannelServer } from '../../../../channels/http/channel-server.ts';
import { createHttpServer } from '../../../../channels/http/http-server.ts';
import type { ExchangeHost } from '../../../../channels/pubsub/zato2/exchange.ts';
import type {
  BrokerPort,
  ConsumerSubscription,
  TopicRules,
} from '../../../../channels/pubsub/zato2/ports.ts';
import { Zato2Door } from '../../../../channels/pubsub/zato2/zato2-door.ts';
import type { Limits } from '../../../../runtime/pubsub/limits.ts';
import { Permissions } from '../../../../runtime/pubsub/permissions.ts';
import { RouteTable } from '../../../../runtime/pubsub/route-table.ts';
import { subscriptionType } from '../../../../runtime/pubsub/subscription-definition.ts';
import { Authenticator } from '../../../../runtime/security/authenticator.ts';
import { PasswordHasher } from '../../../../runtime/security/password.ts';
import { openBroker, type TestBroker } from '../../../support/broker.ts';
import { type CollectingLog, collectingLog } from '../../../support/collecting-log.ts';
import type { TestRedis } from '../../../support/redis.ts';

/** Of erp's subscription: the one of Zato's own documents. */
export const subKey = 'K06Y63NEJQYGMQKTP9D4KGQQ0GB2';

/** crm publishes, erp consumes. */
const permissions = [
  { name: 'one', spec: { security: 'CRM', publish: ['/customer/**', '/off'], subscribe: [] } },
  {
    name: 'two',
    spec: { security: 'ERP', publish: ['/customer/new'], subscribe: ['/customer/**', '/other'] },
  },
  // Permitted, but no subscriber.
  { name: 'three', spec: { security: 'HR', publish: [], subscribe: ['/customer/created'] } },
];

const topics: Readonly<Record<string, TopicRules>> = {
  '/customer/created': { enabled: true },
  '/customer/new': { enabled: true },
  '/customer/small': { enabled: true, maxSize: 10 },
  '/customer/rules': { enabled: true, priority: 7, expirationMs: 3_600_000 },
  '/customer/off': { enabled: false },
};

let authenticating: Promise<Authenticator> | undefined;

/** One for all worlds: it takes its time to check a password, on purpose. */
function knownUsers(): Promise<Authenticator> {
  authenticating ??= (async () => {
    const hasher = new PasswordHasher();
    const authenticator = new Authenticator(hasher);
    authenticator.update(
      await Promise.all(
        ['crm', 'erp', 'hr'].map(async (user) => ({
          name: user.toUpperCase(),
          spec: { type: 'basic' as const, username: user, passwordHash: await hasher.hash(user) },
        })),
      ),
    );
    return authenticator;
  })();
  return authenticating;
}

interface Metadata {
  readonly msg_id: string;
  readonly topic: string;
  readonly creation_time_utc: string;
  readonly expiration: number;
  readonly expire_at_utc: string;
  readonly producer: string | null;
  readonly priority: number;
  readonly mime_type: string;
  readonly payload_encoding?: string;
}

interface Reply {
  readonly status: string;
  readonly msg_id?: string;
  readonly details?: string;
  readonly results_count?: number;
  readonly results?: readonly { readonly payload: string; readonly metadata: Metadata }[];
}

interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
  readonly json: Reply;
}

interface Asking {
  readonly method?: string;
  /** With the same password; null for nobody. Default `crm`. */
  readonly user?: string | null;
  readonly body?: string | Buffer;
  readonly headers?: Readonly<Record<string, string>>;
}

export interface World {
  readonly port: number;
  readonly door: Zato2Door;
  readonly channels: ChannelServer;
  readonly broker: TestBroker;
  readonly log: CollectingLog;
  readonly subscription: { -readonly [K in keyof ConsumerSubscription]: ConsumerSubscription[K] };
  /** A path as it is: nothing in it is resolved. */
  ask(path: string, asking?: Asking): Promise<Answer>;
  /** By crm, with this query. */
  publish(body: string | Buffer, query?: string, asking?: Asking): Promise<Answer>;
  /** By erp, with this query. */
  consume(query?: string, asking?: Asking): Promise<Answer>;
  payloads(query?: string): Promise<readonly string[]>;
  /** By erp. */
  settle(id: string, query: string, asking?: Asking): Promise<Answer>;
}

export interface WorldOptions {
  /** Of erp's subscription; default /customer/*. */
  readonly topics?: readonly string[];
  /** Of its queue. */
  readonly maxDepth?: number;
  /** To share a Redis with another world. */
  readonly namespace?: string;
  readonly limits?: Partial<Limits>;
  readonly authenticator?: ExchangeHost['authenticator'];
  readonly broker?: (real: BrokerPort) => BrokerPort;
}

const open: (() => Promise<void>)[] = [];

/** The door behind a real server and in front of a real broker; erp has a queue of /customer/... */
export async function serving(redis: TestRedis, options: WorldOptions = {}): Promise<World> {
  const { namespace = `t${randomBytes(6).toString('hex')}`, limits = {} } = options;
  const { topics: topicsOfErp = ['/customer/*'], maxDepth = 1_000 } = options;
  const spec = { topics: topicsOfErp, security: 'ERP', subKey, maxDepth };
  const erps = { name: 'erp', spec: subscriptionType().schema.parse(spec) };
  const routes = RouteTable.of([erps], 0);
  const source = { routes, refresh: async () => {}, learn: () => {} };
  const broker = await openBroker(redis.path, { namespace, limits, source });
  const subscription: World['subscription'] = {
    subKey,
    maxDeliveries: 20,
    maxInflight: 1_000,
    paused: false,
  };
  const rules = new Permissions();
  rules.update(permissions);
  const authenticator = await knownUsers();
  const log = collectingLog();
  const door = new Zato2Door({
    broker: options.broker ? options.broker(broker.broker) : broker.broker,
    permissions: rules,
    topics: { get: (name) => (Object.hasOwn(topics, name) ? topics[name] : undefined) },
    subscriptions: {
      bySecurity: (security) => (security === 'ERP' ? subscription : undefined),
      gets: (owner, topic) => routes.match(topic).some((route) => route.subKey === owner),
    },
    authenticator: options.authenticator ?? authenticator,
    log,
  });
  const channels = new ChannelServer({
    authenticator,
    log,
    invoke: async () => ({ payload: 'x', statusCode: 200, headers: {}, contentType: undefined }),
    fallback: door.handle,
  });
  const server = createHttpServer(channels.handle);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  open.push(async () => {
    const closed = once(server, 'close');
    server.close();
    server.closeAllConnections();
    await Promise.all([closed, door.drain()]);
    broker.close();
  });
  const ask = (path: string, asking: Asking = {}) => exchange(port, path, asking);
  const key = { 'x-zato-pubsub-key': subKey };
  const erp = (asking: Asking = {}): Asking => ({
    user: 'erp',
    ...asking,
    headers: { ...key, ...asking.headers },
  });
  const world: World = {
    port,
    door,
    channels,
    broker,
    log,
    subscription,
    ask,
    publish: (body, query = '', asking = {}) =>
      ask(`/zato/pubsub/topic//customer/created/${query}`, { body, ...asking }),
    consume: (query = '', asking = {}) =>
      ask(`/zato/pubsub/msg//customer/created/${query}`, erp(asking)),
    payloads: async (query) => {
      const { json } = await world.consume(query);
      return (json.results ?? []).map(({ payload }) => payload);
    },
    settle: (id, query, asking = {}) =>
      ask(`/zato/pubsub/msg/${id}/${query}`, erp({ method: 'DELETE', ...asking })),
  };
  return world;
}

/** Not by a client that makes URLs better than they were. */
function exchange(port: number, path: string, asking: Asking): Promise<Answer> {
  const { method = 'POST', user = 'crm', body, headers = {} } = asking;
  const authorization =
    user === null
      ? {}
      : { authorization: `Basic ${Buffer.from(`${user}:${user}`).toString('base64')}` };
  return new Promise((resolve, reject) => {
    const options = { port, path, method, agent: false, headers: { ...authorization, ...headers } };
    const asked = request({ host: '127.0.0.1', ...options }, (reply) => {
      const chunks: Buffer[] = [];
      reply.on('data', (chunk: Buffer) => chunks.push(chunk));
      reply.once('error', reject);
      reply.once('end', () => {
        const text = Buffer.concat(chunks).toString();
        const isJson = reply.headers['content-type'] === 'application/json' && text !== '';
        const json = (isJson ? JSON.parse(text) : undefined) as Reply;
        resolve({ status: reply.statusCode ?? 0, headers: reply.headers, text, json });
      });
    });
    asked.once('error', reject);
    asked.end(body);
  });
}

export async function stopAll(): Promise<void> {
  await Promise.all(open.splice(0).map((stop) => stop()));
}

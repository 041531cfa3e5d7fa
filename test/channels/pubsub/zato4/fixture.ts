import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { Agent, type Dispatcher, request } from 'undici';
import { ChannelServer } from '../../../../channels/http/channel-server.ts';
import { createHttpServer } from '../../../../channels/http/http-server.ts';
import type { ExchangeHost } from '../../../../channels/pubsub/zato4/exchange.ts';
import type {
  BrokerPort,
  PullSubscription,
  TopicRules,
} from '../../../../channels/pubsub/zato4/ports.ts';
import { Zato4Door } from '../../../../channels/pubsub/zato4/zato4-door.ts';
import type { Limits } from '../../../../runtime/pubsub/limits.ts';
import { Permissions } from '../../../../runtime/pubsub/permissions.ts';
import { Authenticator } from '../../../../runtime/security/authenticator.ts';
import { PasswordHasher } from '../../../../runtime/security/password.ts';
import { openBroker, pull, type TestBroker } from '../../../support/broker.ts';
import { type CollectingLog, collectingLog } from '../../../support/collecting-log.ts';
import type { TestRedis } from '../../../support/redis.ts';

const jsonType = 'application/json';

/** user.1 may publish and subscribe to demo.* and more, user.2 may nothing but subscribe to other. */
const permissions = [
  {
    name: 'one',
    spec: {
      security: 'app',
      publish: ['demo.*', 'off', 'small', 'rules'],
      subscribe: ['demo.*', 'gone'],
    },
  },
  { name: 'two', spec: { security: 'reader', publish: [], subscribe: ['other'] } },
];

const topics: Readonly<Record<string, TopicRules>> = {
  'demo.1': { enabled: true },
  'demo.2': { enabled: true },
  'demo.a/b': { enabled: true },
  off: { enabled: false },
  small: { enabled: true, maxSize: 10 },
  'demo.rules': { enabled: true, priority: 7, expirationMs: 60_000 },
};

let authenticating: Promise<Authenticator> | undefined;

/** One for all worlds: it takes its time to check a password, on purpose. */
function knownUsers(): Promise<Authenticator> {
  authenticating ??= (async () => {
    const hasher = new PasswordHasher();
    const authenticator = new Authenticator(hasher);
    const passwordHash = await hasher.hash('password.1');
    authenticator.update(
      ['app', 'reader', 'stranger'].map((name, at) => ({
        name,
        spec: { type: 'basic', username: `user.${at + 1}`, passwordHash },
      })),
    );
    return authenticator;
  })();
  return authenticating;
}

export function basic(user: string, password = 'password.1'): string {
  return `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`;
}

interface Envelope {
  readonly is_ok: boolean;
  readonly cid: string;
  readonly status: string;
  readonly details?: string;
  readonly msg_id?: string;
  readonly sub_key?: string;
  readonly is_duplicate?: boolean;
  readonly message_count?: number;
  readonly messages?: readonly Got[];
  readonly results?: readonly { readonly ack_id: string; readonly result: string }[];
}

export interface Got {
  readonly data: unknown;
  readonly meta: Readonly<Record<string, unknown>> & {
    readonly msg_id: string;
    readonly size: number;
    readonly topic_name: string;
  };
}

interface Answer {
  readonly status: number;
  readonly headers: Dispatcher.ResponseData['headers'];
  readonly text: string;
  readonly json: Envelope;
}

interface Asking {
  readonly method?: string;
  readonly user?: string | null;
  readonly headers?: Readonly<Record<string, string>>;
}

export interface World {
  readonly port: number;
  readonly subKey: string;
  readonly door: Zato4Door;
  readonly channels: ChannelServer;
  readonly broker: TestBroker;
  readonly log: CollectingLog;
  readonly subscription: { -readonly [K in keyof PullSubscription]: PullSubscription[K] };
  /** A request with JSON, or with the text or bytes as they are. */
  ask(path: string, body?: unknown, asking?: Asking): Promise<Answer>;
  publish(body: unknown, topic?: string): Promise<Answer>;
  get(body?: unknown): Promise<Answer>;
}

export interface WorldOptions {
  readonly subscribeEnabled?: boolean;
  /** Of the queue of user.1; default demo.*. */
  readonly topics?: readonly string[];
  readonly limits?: Partial<Limits>;
  readonly authenticator?: ExchangeHost['authenticator'];
  readonly broker?: (real: BrokerPort) => BrokerPort;
}

const open: (() => Promise<void>)[] = [];

/** The door behind a real server and in front of a real broker; user.1 has a queue of demo.*. */
export async function serving(redis: TestRedis, options: WorldOptions = {}): Promise<World> {
  const subKey = `sk${randomBytes(16).toString('hex')}`;
  const namespace = `t${randomBytes(6).toString('hex')}`;
  const { limits = {} } = options;
  const broker = await openBroker(redis.path, { namespace, limits });
  const subscription = {
    subKey,
    leaseMs: 30_000,
    maxDeliveries: 20,
    maxInflight: 1_000,
    paused: false,
  };
  const rules = new Permissions();
  rules.update(permissions);
  const authenticator = await knownUsers();
  const log = collectingLog();
  const door = new Zato4Door({
    broker: options.broker ? options.broker(broker.broker) : broker.broker,
    permissions: rules,
    topics: { get: (name) => (Object.hasOwn(topics, name) ? topics[name] : undefined) },
    subscriptions: subscriptionsOf(broker, subscription),
    authenticator: options.authenticator ?? authenticator,
    log,
    ...(options.subscribeEnabled === undefined
      ? {}
      : { subscribeEnabled: options.subscribeEnabled }),
  });
  await broker.broker.subscribe(pull(subKey, ...(options.topics ?? ['demo.*'])));
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
  const agent = new Agent({ pipelining: 1, connections: 20 });
  open.push(async () => {
    await agent.destroy();
    const closed = once(server, 'close');
    server.close();
    server.closeAllConnections();
    await Promise.all([closed, door.drain()]);
    broker.close();
  });
  const ask = async (path: string, body?: unknown, asking: Asking = {}): Promise<Answer> => {
    const { method = 'POST', user = 'user.1', headers = {} } = asking;
    const authorization = user === null ? {} : { authorization: basic(user) };
    const raw = typeof body === 'string' || Buffer.isBuffer(body) || body === undefined;
    const reply = await request(`http://127.0.0.1:${port}${path}`, {
      method: method as 'POST',
      body: (raw ? body : JSON.stringify(body)) as string,
      headers: { ...authorization, ...headers },
      dispatcher: agent,
    });
    const text = await reply.body.text();
    const type = reply.headers['content-type'];
    const json = type === jsonType && text !== '' ? JSON.parse(text) : undefined;
    return { status: reply.statusCode, headers: reply.headers, text, json };
  };
  return {
    port,
    subKey,
    door,
    channels,
    broker,
    log,
    subscription,
    ask,
    publish: (body, topic = 'demo.1') => ask(`/pubsub/topic/${topic}`, body),
    get: (body) => ask('/pubsub/messages/get', body),
  };
}

/** user.1 alone has a subscription; its topics are those of the queue. */
function subscriptionsOf({ broker }: TestBroker, subscription: PullSubscription) {
  const { subKey } = subscription;
  const change = async (topicsOf: (before: readonly string[]) => readonly string[]) => {
    const before = broker.subscriptions().find((one) => one.subKey === subKey)?.topics ?? [];
    await broker.subscribe(pull(subKey, ...topicsOf(before)));
  };
  return {
    bySecurity: (security: string) => (security === 'app' ? subscription : undefined),
    subscribe: async (_security: string, topic: string) => {
      await change((before) => [...before.filter((one) => one !== topic), topic]);
      return subKey;
    },
    unsubscribe: async (_security: string, topic: string) => {
      await change((before) => before.filter((one) => one !== topic));
    },
  };
}

export async function stopAll(): Promise<void> {
  await Promise.all(open.splice(0).map((stop) => stop()));
}

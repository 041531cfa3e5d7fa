import type { WsxPubSubOptions } from '../../../../channels/pubsub/websocket/ports.ts';
import { WsxPubSub } from '../../../../channels/pubsub/websocket/wsx-pubsub.ts';
import type { WebSocketServerOptions } from '../../../../channels/websocket/websocket-server.ts';
import type { Call } from '../../../../runtime/service/call.ts';
import { gather, type Parties } from '../../../support/parties.ts';
import type { TestRedis } from '../../../support/redis.ts';
import {
  admit,
  Client,
  type Frame,
  serving,
  stopAll as stopServers,
  type World,
} from '../../websocket/fixture.ts';

/** Everyone on `open` is this endpoint; crm and erp log in. */
const endpoints = {
  open: { publish: ['/customer/*'], subscribe: ['/customer/*'] },
  CRM: { security: 'crm', publish: ['/customer/*'], subscribe: ['/customer/*'] },
  ERP: { security: 'erp', role: 'sub-only', subscribe: ['/customer/*', '/undefined'] },
} as const;

const topics = {
  '/customer/created': { enabled: true },
  '/customer/changed': { enabled: true },
  '/customer/off': { enabled: false },
  '/other': { enabled: true },
};

const channels = {
  open: { path: '/ws', gateway: true },
  crm: { path: '/crm', gateway: true, security: 'crm' },
  erp: { path: '/erp', gateway: true, security: 'erp' },
  stranger: { path: '/stranger', gateway: true, security: 'stranger' },
  nobody: { path: '/nobody', gateway: true },
  service: { path: '/service', service: 'test.subscribe' },
};

export const topic = '/customer/created';

export interface Worker extends World {
  readonly parties: Parties;
  readonly door: WsxPubSub;
  publish(value: unknown, more?: object): Promise<string>;
  depth(subKey: string): Promise<{ readonly waiting: number; readonly leased: number }>;
}

export interface WorkerOptions {
  readonly limits?: WsxPubSubOptions['limits'];
  readonly deadMs?: number;
  readonly sockets?: WebSocketServerOptions['limits'];
  readonly broker?: (real: WsxPubSubOptions['broker']) => WsxPubSubOptions['broker'];
  /** What `/service` runs. */
  readonly service?: (worker: Worker, call: Call) => Promise<unknown>;
}

const open: Worker[] = [];
const timers: NodeJS.Timeout[] = [];

/** One process of several on the same Redis, as far as its messages go. */
export async function worker(
  redis: Pick<TestRedis, 'path'>,
  namespace: string,
  options: WorkerOptions = {},
): Promise<Worker> {
  const parties = await gather(redis, { endpoints, topics }, namespace);
  const { broker } = parties.broker;
  const door = new WsxPubSub({
    broker: options.broker ? options.broker(broker) : broker,
    endpointBroker: parties.endpointBroker,
    endpoints: parties.endpoints,
    redis: parties.broker.redis,
    namespace,
    log: parties.log,
    ...(options.limits ? { limits: options.limits } : {}),
    ...(options.deadMs ? { deadMs: options.deadMs } : {}),
  });
  const world = await serving({
    channels,
    gatewayServices: door.gatewayServices,
    hooks: { answered: (session, response) => door.answered(session, response) },
    ...(options.sockets ? { limits: options.sockets } : {}),
    service: async (call) => ({
      payload: await options.service?.(made, call),
      statusCode: 200,
      headers: {},
      contentType: undefined,
    }),
  });
  const made: Worker = {
    ...world,
    parties,
    door,
    publish: async (value, more = {}) => (await parties.broker.publish(topic, value, more)).msgId,
    async depth(subKey) {
      const [depth] = await broker.depth([subKey]);
      return { waiting: depth?.waiting ?? 0, leased: depth?.leased ?? 0 };
    },
  };
  door.start();
  timers.push(setInterval(() => void broker.tend().catch(() => undefined), 100));
  open.push(made);
  return made;
}

/** Lets crm, erp and stranger in. */
export async function admitAll(world: World): Promise<void> {
  const user = (username: string) => ({ username, password: 'password' });
  await admit(world, { crm: user('crm'), erp: user('erp'), stranger: user('stranger') });
}

export async function stopAll(): Promise<void> {
  await stopServers();
  await Promise.all(open.map(({ door }) => door.stop()));
  for (const timer of timers.splice(0)) clearInterval(timer);
  for (const { parties } of open.splice(0)) parties.close();
}

/** Calls one of the platform's services through the gateway; other frames that come meanwhile stay. */
export function ask(client: Client, service: string, request?: unknown): Promise<Frame> {
  return answerTo(client, client.send('invoke-service', {}, { service, request }));
}

let asked = 0;

/** The same with a request that is JSON already. */
export function askText(client: Client, service: string, request: string): Promise<Frame> {
  const meta = {
    action: 'invoke-service',
    id: `zwsxc.text.${++asked}`,
    timestamp: '2023-01-01T00:00:00.000000',
    token: client.token,
  };
  const data = `{"service":${JSON.stringify(service)},"request":${request}}`;
  client.socket.send(`{"meta":${JSON.stringify(meta)},"data":${data}}`);
  return answerTo(client, meta.id);
}

async function answerTo(client: Client, id: string): Promise<Frame> {
  const kept: Frame[] = [];
  for (;;) {
    const frame = await client.next();
    if (frame.meta.in_reply_to === id) {
      client.frames.unshift(...kept);
      return frame;
    }
    kept.push(frame);
  }
}

export async function subscribe(client: Client, more: object = {}): Promise<string> {
  const frame = await ask(client, 'zato.pubsub.pubapi.subscribe-wsx', {
    topic_name: topic,
    ...more,
  });
  return keyOf(frame);
}

export function keyOf(frame: Frame): string {
  const { sub_key: subKey } = (frame.data ?? {}) as { sub_key?: string };
  if (subKey === undefined) throw new Error(`Not subscribed: ${JSON.stringify(frame)}`);
  return subKey;
}

export function resume(client: Client, subKey: string): Promise<Frame> {
  return ask(client, 'zato.pubsub.resume-wsx-subscription', { sub_key: subKey });
}

export interface Item {
  readonly data: unknown;
  readonly msg_id: string;
  readonly delivery_count: number;
  readonly sub_key: string;
  readonly topic_name: string;
}

/** The messages of the next delivery frames, until there are so many. */
export async function items(client: Client, count: number): Promise<Item[]> {
  const got: Item[] = [];
  while (got.length < count) got.push(...itemsOf(await client.next()));
  return got;
}

export function itemsOf({ meta, data }: Frame): Item[] {
  if (meta.msg_type !== 'zwsx.psrq') throw new Error(`Not a delivery: ${JSON.stringify(meta)}`);
  return Array.isArray(data) ? (data as Item[]) : [data as Item];
}

export function respond(client: Client, inReplyTo: string, data: unknown = {}): void {
  client.send('client-response', { in_reply_to: inReplyTo }, data);
}

export { Client };

import { once } from 'node:events';
import { request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createHttpServer } from '../../channels/http/http-server.ts';
import { WsxPubSub } from '../../channels/pubsub/websocket/wsx-pubsub.ts';
import { Zato2Door } from '../../channels/pubsub/zato2/zato2-door.ts';
import { Zato3Door } from '../../channels/pubsub/zato3/zato3-door.ts';
import { Zato4Door } from '../../channels/pubsub/zato4/zato4-door.ts';
import { sliceOfKey } from '../../runtime/core/json-slices.ts';
import { Permissions } from '../../runtime/pubsub/permissions.ts';
import type { ReceivedMessage } from '../../runtime/service/call.ts';
import { deliveredCall } from '../../runtime/service/delivered-call.ts';
import { Service } from '../../runtime/service/service.ts';
import { ask as askGateway, askText, keyOf } from '../channels/pubsub/websocket/fixture.ts';
import { basic, knownUsers } from '../channels/pubsub/zato3/fixture.ts';
import { Client, serving, stopAll as stopSockets } from '../channels/websocket/fixture.ts';
import { pull } from '../support/broker.ts';
import { gather, type Parties } from '../support/parties.ts';
import { startRedis, type TestRedis } from '../support/redis.ts';
import { until } from '../support/until.ts';
import {
  type Consumer,
  type ContractMessage,
  type FrontEnds,
  frontEndContract,
  type Publisher,
  type Received,
} from './front-end.contract.ts';

const topic = '/front/end';
const namespace = 'front-end';
const topics = { [topic]: { enabled: true } };

/** Of the readers that have one by their user alone. */
const subKeys = {
  'rest 4.x': 'sk4',
  'rest 2.0': 'K06Y63NEJQYGMQKTP9D4KGQQ0GB2',
  'service 4.x': 'zato.service.reader',
};

const endpoints = {
  crm: { security: 'crm', publish: [topic], subscribe: [topic] },
  services: { publish: [topic], subscribe: [topic] },
  sockets: { publish: [topic], subscribe: [topic] },
} as const;

let redis: TestRedis;
let parties: Parties;
let close: () => Promise<void>;

frontEndContract('Front ends', {
  topic,
  publishers: {
    'service 4.x': { bigNumbers: false, facts: true },
    'service 3.x': { bigNumbers: true, facts: true },
    'rest 4.x': { bigNumbers: true, facts: true },
    'rest 3.x': { bigNumbers: true, facts: true },
    'rest 2.0': { bigNumbers: true, facts: false },
    websocket: { bigNumbers: true, facts: true },
  },
  consumers: {
    'service 4.x': { facts: true },
    'service 3.x': { facts: true },
    'rest 4.x': { facts: true },
    'rest 3.x': { facts: true },
    'rest 2.0': { facts: false },
    websocket: { facts: true },
  },
  async open(): Promise<FrontEnds> {
    redis = await startRedis();
    const services = { reader: Reader };
    parties = await gather(redis, { endpoints, topics, services }, namespace);
    const { broker } = parties.broker;
    for (const subKey of Object.values(subKeys)) await broker.subscribe(pull(subKey, topic));
    const server = await serve();
    const subKey = await parties.run(({ pubsub }) =>
      pubsub.subscribe(topic, { endpointName: 'services' }),
    );
    await server.ask('POST', `/zato/pubsub/subscribe/topic/${topic}`);
    const sockets = await serveSockets();
    close = async () => {
      await sockets.close();
      await server.close();
      parties.close();
      await redis.stop();
    };
    return {
      publishers: {
        'service 4.x': service4Publisher(),
        'service 3.x': service3Publisher(),
        'rest 4.x': rest4Publisher(server.ask),
        'rest 3.x': rest3Publisher(server.ask),
        'rest 2.0': rest2Publisher(server.ask),
        websocket: sockets.publisher,
      },
      consumers: {
        'service 4.x': service4Consumer(),
        'service 3.x': service3Consumer(subKey),
        'rest 4.x': rest4Consumer(server.ask),
        'rest 3.x': rest3Consumer(server.ask),
        'rest 2.0': rest2Consumer(server.ask),
        websocket: sockets.consumer,
      },
    };
  },
  close: () => close(),
});

type Ask = (
  method: string,
  path: string,
  body?: string,
  headers?: Readonly<Record<string, string>>,
) => Promise<string>;

/** The three doors on one server, by one user. */
async function serve(): Promise<{ readonly ask: Ask; close(): Promise<void> }> {
  const { broker } = parties.broker;
  const permissions = new Permissions();
  const rights = { security: 'crm', publish: [topic], subscribe: [topic] };
  permissions.update([{ name: 'crm', spec: rights }]);
  const authenticator = await knownUsers();
  const limits = { maxDeliveries: 20, maxInflight: 1_000, paused: false };
  const unused = async (): Promise<never> => {
    throw new Error('not here');
  };
  const common = {
    broker,
    permissions,
    topics: { get: (name: string) => (name === topic ? { enabled: true } : undefined) },
    authenticator,
    log: parties.log,
  };
  const doors = [
    new Zato4Door({
      ...common,
      subscriptions: {
        bySecurity: () => ({ subKey: subKeys['rest 4.x'], leaseMs: 30_000, ...limits }),
        subscribe: unused,
        unsubscribe: unused,
      },
    }),
    new Zato3Door({
      ...common,
      endpoints: parties.endpoints,
      endpointBroker: parties.endpointBroker,
    }),
    new Zato2Door({
      ...common,
      subscriptions: {
        bySecurity: () => ({ subKey: subKeys['rest 2.0'], ...limits }),
        gets: () => true,
      },
    }),
  ];
  const server = createHttpServer((req, res) => {
    if (!doors.some((door) => door.handle(req, res))) res.writeHead(404).end();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  return {
    ask: (method, path, body, headers = {}) =>
      asked({ port, method, path, headers: { authorization: basic('crm'), ...headers } }, body),
    async close() {
      const closed = once(server, 'close');
      server.close();
      server.closeAllConnections();
      await Promise.all([closed, ...doors.map((door) => door.drain())]);
    },
  };
}

/** Not by a client that makes URLs better than they were. */
function asked(options: object, body: string | undefined): Promise<string> {
  return new Promise((resolve, reject) => {
    const sent = request({ host: '127.0.0.1', agent: false, ...options }, (reply) => {
      const chunks: Buffer[] = [];
      reply.on('data', (chunk: Buffer) => chunks.push(chunk));
      reply.once('error', reject);
      reply.once('end', () => {
        const text = Buffer.concat(chunks).toString();
        if (reply.statusCode === 200) resolve(text);
        else reject(new Error(`${reply.statusCode} ${text}`));
      });
    });
    sent.once('error', reject);
    sent.end(body);
  });
}

/** What it was given last. */
let read: ReceivedMessage | undefined;

class Reader extends Service<unknown> {
  handle(): void {
    read = this.request.message;
  }
}

function service4Publisher(): Publisher {
  return {
    publish: ({ json, topic: target, ...meta }) =>
      parties.run(async (service) => {
        const { msgId } = await service.publish(target, JSON.parse(json), meta);
        return msgId;
      }),
  };
}

/** As it is pushed: taken, made a call of the service, acknowledged. */
function service4Consumer(): Consumer {
  const subKey = subKeys['service 4.x'];
  return {
    async take() {
      const { broker } = parties.broker;
      const deliveries = await broker.take(subKey);
      const received: Received[] = [];
      for (const delivery of deliveries) {
        await parties.registry.invoke(
          deliveredCall('reader', delivery, { revive: (_, value) => value }),
        );
        if (read) received.push(receivedBy(read));
      }
      await broker.ack(subKey, deliveries);
      return received;
    },
  };
}

function receivedBy(message: ReceivedMessage): Received {
  const { msgId, data, contentType, priority, expiresAt, receivedAt } = message;
  return {
    id: msgId,
    topic: message.topic,
    ...(contentType === 'application/json' ? { json: data.toString() } : { text: data.toString() }),
    priority,
    // By the clock of two messages: the expiry is of the µs, the receipt of the ms.
    expirationMs: Math.round((expiresAt - receivedAt) / 1_000) * 1_000,
    correlId: message.correlId,
    inReplyTo: message.inReplyTo,
    extClientId: message.extClientId,
  };
}

/** Values as values, and what JavaScript cannot hold as the bytes of JSON. */
function service3Publisher(): Publisher {
  return {
    publish: ({ json, topic: target, ...meta }) =>
      parties.run(({ pubsub }) => {
        const value: unknown = JSON.parse(json);
        if (JSON.stringify(value) === json || typeof value === 'string') {
          return pubsub.publish(target, { data: value, endpointName: 'services', ...meta });
        }
        const mimeType = 'application/json';
        return pubsub.publish(target, { data: Buffer.from(json), mimeType, ...meta });
      }),
  };
}

function service3Consumer(subKey: string): Consumer {
  const options = { needsMsgId: true, needsBytes: true };
  return {
    async take() {
      const messages = await parties.run(({ pubsub }) =>
        pubsub.getMessages(topic, subKey, options),
      );
      return messages.map((message) => ({
        id: message.msg_id ?? '',
        topic: message.topic_name,
        ...(typeof message.data === 'string'
          ? { text: message.data }
          : { json: String(message.data_bytes) }),
        priority: message.priority,
        expirationMs: message.expiration,
        correlId: message.correl_id,
        inReplyTo: message.in_reply_to,
        extClientId: message.ext_client_id,
      }));
    },
  };
}

/** The body of 4.x and 3.x. */
function bodyOf({ json, priority, expiration, ...facts }: ContractMessage): string {
  const meta = JSON.stringify({
    priority,
    expiration,
    correl_id: facts.correlId,
    in_reply_to: facts.inReplyTo,
    ext_client_id: facts.extClientId,
  });
  return `{"data":${json}${meta === '{}' ? '' : ','}${meta.slice(1)}`;
}

function rest4Publisher(ask: Ask): Publisher {
  return {
    async publish(message) {
      const text = await ask('POST', `/pubsub/topic/${message.topic}`, bodyOf(message));
      return (JSON.parse(text) as { msg_id: string }).msg_id;
    },
  };
}

function rest3Publisher(ask: Ask): Publisher {
  return {
    async publish(message) {
      const text = await ask('POST', `/zato/pubsub/topic/${message.topic}`, bodyOf(message));
      return (JSON.parse(text) as { msg_id: string }).msg_id;
    },
  };
}

function rest4Consumer(ask: Ask): Consumer {
  return {
    async take() {
      const text = await ask('POST', '/pubsub/messages/get', '{"max_messages":1000}');
      return objectsOf(cut(text, 'messages')).map((item) => {
        const meta = JSON.parse(cut(item, 'meta'));
        return {
          id: meta.msg_id,
          topic: meta.topic_name,
          json: cut(item, 'data'),
          ...termsOf(meta),
        };
      });
    },
  };
}

function rest3Consumer(ask: Ask): Consumer {
  return {
    async take() {
      const text = await ask('PATCH', `/zato/pubsub/topic/${topic}`);
      return objectsOf(text).map((item) => {
        const meta = JSON.parse(item);
        return {
          id: meta.msg_id,
          topic: meta.topic_name,
          json: cut(item, 'data'),
          ...termsOf(meta),
        };
      });
    },
  };
}

interface Terms {
  readonly priority: number;
  /** In seconds. */
  readonly expiration: number;
  readonly correl_id?: string;
  readonly in_reply_to?: string;
  readonly ext_client_id?: string;
}

function termsOf(terms: Terms) {
  return {
    priority: terms.priority,
    expirationMs: terms.expiration * 1_000,
    correlId: terms.correl_id,
    inReplyTo: terms.in_reply_to,
    extClientId: terms.ext_client_id,
  };
}

/** Text as text, and anything else as JSON. */
function rest2Publisher(ask: Ask): Publisher {
  return {
    async publish({ json, priority, expiration }) {
      const value: unknown = JSON.parse(json);
      const isText = typeof value === 'string';
      const query = new URLSearchParams({
        ...(priority === undefined ? {} : { priority: String(priority) }),
        ...(expiration === undefined ? {} : { expiration: String(expiration) }),
        mime_type: isText ? 'text/plain' : 'application/json',
      });
      const path = `/zato/pubsub/topic/${topic}/?${query}`;
      const text = await ask('POST', path, isText ? value : json);
      return (JSON.parse(text) as { msg_id: string }).msg_id;
    },
  };
}

interface Zato2Reply {
  readonly results: readonly {
    readonly payload: string;
    readonly metadata: Terms & { readonly msg_id: string; readonly topic: string };
  }[];
}

function rest2Consumer(ask: Ask): Consumer {
  const headers = { 'x-zato-pubsub-key': subKeys['rest 2.0'] };
  return {
    async take() {
      const reply = await ask('POST', `/zato/pubsub/msg/${topic}/?max=1000`, '', headers);
      const { results } = JSON.parse(reply) as Zato2Reply;
      for (const { metadata } of results) {
        await ask('DELETE', `/zato/pubsub/msg/${metadata.msg_id}/?ack=true`, '', headers);
      }
      return results.map(({ payload, metadata }) => ({
        id: metadata.msg_id,
        topic: metadata.topic,
        text: payload,
        priority: metadata.priority,
        expirationMs: metadata.expiration * 1_000,
      }));
    },
  };
}

interface Sockets {
  readonly publisher: Publisher;
  readonly consumer: Consumer;
  close(): Promise<void>;
}

/** A gateway; its subscriber is away but when it takes. */
async function serveSockets(): Promise<Sockets> {
  const { broker, redis: commands } = parties.broker;
  const door = new WsxPubSub({ ...parties, broker, redis: commands, namespace });
  const { gatewayServices } = door;
  const channels = { sockets: { path: '/ws', gateway: true } };
  const world = await serving({ channels, gatewayServices });
  const client = await Client.loggedIn(world);
  const asking = { topic_name: topic, unsub_on_wsx_close: false };
  const subKey = keyOf(await askGateway(client, 'zato.pubsub.pubapi.subscribe-wsx', asking));
  const away = async (one: Client) => {
    await one.close();
    await until(() => door.size === 0);
  };
  await away(client);
  const publishing = await Client.loggedIn(world);
  let last: Promise<unknown> = Promise.resolve();
  return {
    publisher: {
      publish(message) {
        const text = `{"topic_name":${JSON.stringify(topic)},${bodyOf(message).slice(1)}`;
        // One at a time: the client of these tests reads one answer at a time.
        const published = last
          .then(() => askText(publishing, 'zato.pubsub.pubapi.publish-message', text))
          .then(({ data }) => (data as { msg_id: string }).msg_id);
        last = published;
        return published;
      },
    },
    consumer: {
      async take() {
        const one = await Client.loggedIn(world);
        const frames: string[] = [];
        one.socket.on('message', (bytes) => {
          if (String(bytes).includes('"zwsx.psrq"')) frames.push(String(bytes));
        });
        await askGateway(one, 'zato.pubsub.resume-wsx-subscription', { sub_key: subKey });
        await until(async () => {
          const [depth] = await broker.depth([subKey]);
          return depth?.waiting === 0 && depth.leased === 0;
        });
        // Frames come in their order.
        await askGateway(one, 'zato.ping');
        await away(one);
        return frames.flatMap(socketMessages);
      },
    },
    async close() {
      await stopSockets();
      await door.stop();
    },
  };
}

function socketMessages(frame: string): readonly Received[] {
  const data = cut(frame, 'data');
  return (data.startsWith('[') ? objectsOf(data) : [data]).map((item) => {
    const meta = JSON.parse(item);
    return {
      id: meta.msg_id,
      topic: meta.topic_name,
      json: cut(item, 'data'),
      ...termsOf(meta),
    };
  });
}

/** The exact JSON of a key's value. */
function cut(text: string, key: string): string {
  const slice = sliceOfKey(text, key);
  return text.slice(slice?.start, slice?.end);
}

/** The exact JSON of each object in a list. */
function objectsOf(list: string): readonly string[] {
  const count = (JSON.parse(list) as unknown[]).length;
  const objects: string[] = [];
  // As the value of a key of an object each is found by its place.
  let rest = list.slice(1, -1);
  for (let n = 0; n < count; n++) {
    const one = cut(`{"x":${rest}}`, 'x');
    objects.push(one);
    rest = rest.slice(one.length + 1);
  }
  return objects;
}

import { expect } from 'chai';
import { Fault, Model, type Service } from '../../runtime/index.ts';
import type { WsxPubSubPort } from '../../runtime/service/pubsub-ports.ts';
import { Service as Base } from '../../runtime/service/service.ts';
import type { WsxSession } from '../../runtime/service/wsx.ts';
import { pull } from '../support/broker.ts';
import { gather, type Parties, type PartiesOptions } from '../support/parties.ts';
import { startRedis, type TestRedis } from '../support/redis.ts';
import { rejection } from '../support/rejection.ts';
import { until } from '../support/until.ts';

const topic = '/zato/demo/sample';
const notAllowed = 'You are not allowed to access this resource';
const messageId = /^zpsm[0-9a-f]{24}$/;
const restKey = /^zpsk\.rest\.[0-9a-f]{24}$/;

const endpoints = {
  'My REST Endpoint': { subscribe: ['/zato/demo/*'], publish: ['/zato/**'] },
  reader: { role: 'sub-only', subscribe: ['/zato/**'] },
  writer: { role: 'pub-only', publish: ['/zato/demo/sample'] },
} as const;

const topics = {
  [topic]: { enabled: true },
  '/zato/demo/other': { enabled: true },
  '/zato/demo/off': { enabled: false },
  '/zato/demo/rules': { enabled: true, priority: 7, expirationMs: 60_000, maxSize: 10 },
  '/elsewhere': { enabled: true },
};

describe('this.pubsub', () => {
  let redis: TestRedis;
  const open: Parties[] = [];

  before(async () => {
    redis = await startRedis();
  });

  afterEach(() => {
    for (const parties of open.splice(0)) parties.close();
  });

  after(() => redis.stop());

  const parties = async (options: PartiesOptions = {}): Promise<Parties> => {
    const made = await gather(redis, { endpoints, topics, ...options });
    open.push(made);
    return made;
  };

  const subscribed = async (world: Parties, name = topic) =>
    world.run((service) => service.pubsub.subscribe(name, { endpointName: 'My REST Endpoint' }));

  const refused = async (world: Parties, work: (service: Service) => unknown): Promise<Fault> => {
    const error = await rejection(world.run(async (service) => work(service)));
    if (!Fault.is(error)) throw error;
    return error;
  };

  describe('publish and getMessages', () => {
    it('give the list of the seed in its keys, newest first, once', async () => {
      const world = await parties();
      const subKey = await subscribed(world);
      const texts = ['This is a sample message', 'This is a sample message #2'];
      for (const data of texts) {
        const id = await world.run((service) => service.pubsub.publish(topic, { data }));
        expect(id).to.match(messageId);
      }

      const messages = await world.run((service) => service.pubsub.getMessages(topic, subKey));

      expect(messages.map(({ data }) => data)).to.deep.equal([texts[1], texts[0]]);
      const [second] = messages;
      expect(second).to.deep.include({
        delivery_count: 0,
        has_gd: false,
        server_name: 'server1',
        topic_name: topic,
        priority: 5,
        expiration: 2_147_483_647_000,
        server_pid: process.pid,
        size: 27,
        sub_key: subKey,
        mime_type: 'text/plain',
      });
      expect(Object.keys(second ?? {})).to.deep.equal([
        ...['delivery_count', 'has_gd', 'server_name', 'topic_name', 'pub_time_iso', 'priority'],
        ...['expiration_time_iso', 'expiration', 'server_pid', 'size', 'data', 'sub_key'],
        'mime_type',
      ]);
      const iso = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}$/;
      expect(second?.pub_time_iso).to.match(iso);
      expect(second?.expiration_time_iso).to.match(iso);
      const waits = Date.parse(`${second?.expiration_time_iso}Z`);
      expect(waits - Date.parse(`${second?.pub_time_iso}Z`)).to.be.closeTo(2_147_483_647_000, 2);
      expect(await world.run((one) => one.pubsub.getMessages(topic, subKey))).to.deep.equal([]);
    });

    it('carry data of every kind, and what goes with it', async () => {
      const world = await parties();
      const subKey = await subscribed(world);
      const bytes = Buffer.from([0, 255, 128]);
      const sent: [unknown, string | undefined, string, number, unknown?][] = [
        ['zażółć 🐎', undefined, 'text/plain', 15],
        ['', undefined, 'text/plain', 0],
        ['<a/>', 'application/xml', 'application/xml', 4],
        ['{"a": 1}', 'application/json', 'application/json', 8],
        ['half \ud800', undefined, 'application/json', 8],
        [{ a: ['ö', null, 1.5] }, undefined, 'application/json', 21],
        [12, 'text/plain', 'application/json', 2],
        [bytes, undefined, 'application/octet-stream', 3],
        [Buffer.from('{"n":1}'), 'application/json', 'application/json', 7, { n: 1 }],
      ];
      for (const [data, mimeType] of sent) {
        await world.run((service) => service.pubsub.publish(topic, { data, mimeType }));
      }

      const got = await world.run((service) => service.pubsub.getMessages(topic, subKey));

      const expected = sent.map(([data, , type, size, out]) => [out ?? data, type, size]);
      expect(
        got.toReversed().map(({ data, mime_type, size }) => [data, mime_type, size]),
      ).to.deep.equal(expected);
    });

    it('take data in the second place too, and its metadata in the third', async () => {
      const world = await parties();
      const subKey = await subscribed(world);
      await world.run(async ({ pubsub }) => {
        await pubsub.publish(topic);
        await pubsub.publish(topic, 'text');
        await pubsub.publish(topic, { order: 1 }, { priority: 9 });
        await pubsub.publish(topic, { data: { data: 'mine' } });
        await pubsub.publish(topic, { data: 'also mine', more: 1 }, {});
      });

      const got = await world.run(({ pubsub }) => pubsub.getMessages(topic, subKey));

      expect(got.toReversed().map(({ data, priority }) => [data, priority])).to.deep.equal([
        ['', 5],
        ['text', 5],
        [{ order: 1 }, 9],
        [{ data: 'mine' }, 5],
        [{ data: 'also mine', more: 1 }, 5],
      ]);
    });

    it('take the payload before the topic as Zato 2.0 does, unless it names a topic itself', async () => {
      const world = await parties();
      const subKey = await subscribed(world);
      await world.run(async ({ pubsub }) => {
        await pubsub.publish('My Message', topic);
        await pubsub.publish(topic, topic, { priority: 1 });
      });

      const got = await world.run(({ pubsub }) => pubsub.getMessages(topic, subKey));

      expect(got.map(({ data, priority }) => [data, priority])).to.have.deep.members([
        ['My Message', 5],
        [topic, 1],
      ]);
    });

    it('carry ids and the publisher’s time, and the service’s name where it is given', async () => {
      const world = await parties();
      const subKey = await subscribed(world);
      const extPubTime = new Date('2026-01-02T03:04:05Z');
      const facts = { correlId: 'c-1', inReplyTo: 'r-1', extClientId: 'x-1', extPubTime };
      await world.run((service) => service.pubsub.publish(topic, { data: 'a', ...facts }));
      await world.run((service) => service.pubsub.publish(topic, 'b', { cid: 'c-2', service }));

      const [b, a] = await world.run(({ pubsub }) => pubsub.getMessages(topic, subKey));

      expect(a).to.include({ correl_id: 'c-1', in_reply_to: 'r-1', ext_client_id: 'x-1' });
      expect(a?.ext_pub_time_iso).to.equal('2026-01-02T03:04:05.000Z');
      expect(b).to.include({ correl_id: 'c-2', ext_client_id: 'test.run' });
    });

    it('give ids, details and the very bytes where they are asked for', async () => {
      const world = await parties();
      const subKey = await subscribed(world);
      const id = await world.run(({ pubsub }) => pubsub.publish(topic, { data: 'with details' }));
      await world.broker.publish(topic, 0, { data: '{"n":12345678901234567890}' });
      const options = { needsDetails: true, needsMsgId: true, needsBytes: true };

      const [big, plain] = await world.run(({ pubsub }) =>
        pubsub.getMessages(topic, subKey, options),
      );

      expect(plain).to.include({ msg_id: id, pub_msg_id: id, data_prefix_short: 'with details' });
      expect(plain?.['recv_time']).to.be.closeTo(Date.now() / 1_000, 5);
      expect(plain?.['published_by']).to.equal('test.run');
      expect(String(big?.data_bytes)).to.equal('{"n":12345678901234567890}');
    });

    it('take only the topic that was asked for from a queue of several', async () => {
      const world = await parties();
      await world.broker.broker.subscribe(pull('sk1', topic, '/zato/demo/other'));
      await world.run(async ({ pubsub }) => {
        await pubsub.publish(topic, 'one');
        await pubsub.publish('/zato/demo/other', 'other');
      });
      const get = (name: string) => world.run(({ pubsub }) => pubsub.getMessages(name, 'sk1'));

      expect((await get(topic)).map(({ data }) => data)).to.deep.equal(['one']);
      expect((await get('/ZATO/demo/other')).map(({ data }) => data)).to.deep.equal(['other']);
    });

    it('take thousands at once', async () => {
      const world = await parties();
      const subKey = await subscribed(world);
      const dataList = Array.from({ length: 2_500 }, (_, n) => ({ data: n }));
      const ids = await world.run(({ pubsub }) => pubsub.publish(topic, { dataList }));
      expect(new Set(ids).size).to.equal(2_500);

      const got = await world.run(({ pubsub }) => pubsub.getMessages(topic, subKey));

      expect(got.map(({ data }) => data)).to.deep.equal(dataList.map(({ data }) => data).reverse());
      const [depth] = await world.broker.broker.depth([subKey]);
      expect(depth).to.include({ waiting: 0, leased: 0 });
    });
  });

  describe('publish', () => {
    it('gives messages their topic’s priority and expiration where they name none', async () => {
      const world = await parties();
      const subKey = await subscribed(world, '/zato/demo/rules');
      const rules = '/zato/demo/rules';
      await world.run(async ({ pubsub }) => {
        await pubsub.publish(rules, 'a');
        await pubsub.publish(rules, 'b', { priority: 1, expiration: 2 });
        await pubsub.publish(rules, 'c', { priority: 9, expiration: 0 });
      });
      const got = await world.run(({ pubsub }) => pubsub.getMessages(rules, subKey));
      expect(
        got.toReversed().map(({ priority, expiration }) => [priority, expiration]),
      ).to.deep.equal([
        [7, 60_000],
        [1, 2_000],
        [9, 60_000],
      ]);
      const big = await refused(world, ({ pubsub }) => pubsub.publish(rules, '12345678901'));
      expect(big.code).to.equal('too-large');
    });

    it('publishes a list in order, each message with metadata of its own', async () => {
      const world = await parties();
      const subKey = await subscribed(world);
      const ids = await world.run(({ pubsub }) =>
        pubsub.publish(topic, {
          dataList: [
            { data: 'a', priority: 9 },
            { data: { b: 1 }, correlId: 'two' },
            { data: 'c' },
          ],
        }),
      );
      const got = await world.run(({ pubsub }) =>
        pubsub.getMessages(topic, subKey, { needsMsgId: true }),
      );
      expect(got.toReversed().map(({ msg_id }) => msg_id)).to.deep.equal(ids);
      expect(got.toReversed().map(({ data }) => data)).to.deep.equal(['a', { b: 1 }, 'c']);
      expect(got.toReversed().map(({ priority }) => priority)).to.deep.equal([9, 5, 5]);
    });

    it('says which of a list are published when one is not', async () => {
      const world = await parties();
      const rules = '/zato/demo/rules';
      const error = await refused(world, ({ pubsub }) =>
        pubsub.publish(rules, { dataList: [{ data: 'a' }, { data: '12345678901' }] }),
      );
      expect(error.code).to.equal('too-large');
      const { published } = error.details as { published: string[] };
      expect(published).to.have.length(1);
      expect(published[0]).to.match(messageId);
    });

    it('takes a service’s name or class: it gets the message through its own queue', async () => {
      class Order extends Model {
        readonly id: number = 0;
      }
      class Target extends Base {
        handle() {}
      }
      const named = () => 'shop.Order';
      const world = await parties({
        services: { 'my.target': Target },
        ports: { modelName: named },
      });
      Base.setName(Target, 'my.target');
      await world.run(async ({ pubsub }) => {
        await pubsub.publish('my.target', { data: 'by name', priority: 3, expiration: 10 });
        await pubsub.publish(Target, Order.fromDict({ id: 7 }));
        await pubsub.publish('my.target', 'by endpoint', { endpointName: 'My REST Endpoint' });
      });
      const page = { state: 'waiting' } as const;
      const { items } = await world.broker.broker.browse('zato.service.my.target', page);
      expect(items.map(({ message }) => String(message.data))).to.have.members([
        'by name',
        '{"id":7}',
        'by endpoint',
      ]);
      const first = items.find(({ message }) => message.priority === 3)?.message;
      expect(first).to.include({ topic: 'zato.s.to.my.target', expirationMs: 10_000 });
      expect(items.find(({ message }) => message.dataClass)?.message.dataClass).to.equal(
        'shop.Order',
      );
    });

    it('follows the journey: its cid, its publisher, one hop more', async () => {
      const world = await parties();
      const subKey = await subscribed(world);
      await world.run(({ pubsub }) => pubsub.publish(topic, 'x'), { hops: 2 });
      const [taken] = await world.broker.broker.take(subKey);
      expect(taken?.message).to.include({ cid: 'c1', publisher: 'test.run', hops: 3 });
    });

    it('knows a message by its idempotency key', async () => {
      const world = await parties();
      const send = () =>
        world.run(({ pubsub }) => pubsub.publish(topic, 'x', { idempotencyKey: 'k' }));
      expect(await send()).to.equal(await send());
    });

    it('refuses bytes that are not the JSON they say', async () => {
      const world = await parties();
      const error = await refused(world, ({ pubsub }) =>
        pubsub.publish(topic, Buffer.from('{'), { mimeType: 'application/json' }),
      );
      expect(error.message).to.contain(`Publishing to ${topic}: data is not valid JSON: `);
    });

    const bad: [string, (service: Service) => unknown, string, string][] = [
      ...([0, 10, -1, 1.5, 'high', Number.NaN] as const).map(
        (priority): [string, (service: Service) => unknown, string, string] => [
          `priority ${priority}`,
          ({ pubsub }) => pubsub.publish(topic, { data: 'x', priority: priority as number }),
          'bad-request',
          `Priority \`${priority}\` outside of allowed range 1-9`,
        ],
      ),
      [
        'a negative expiration',
        ({ pubsub }) => pubsub.publish(topic, { data: 'x', expiration: -1 }),
        'bad-request',
        'Expiration `-1` must not be negative',
      ],
      [
        'an expiration that is no number',
        ({ pubsub }) => pubsub.publish(topic, 'x', { expiration: 'soon' as unknown as number }),
        'bad-request',
        'Expiration `soon` must be a number of seconds',
      ],
      [
        'hasGd that is not a boolean',
        ({ pubsub }) => pubsub.publish(topic, 'x', { hasGd: 1 as unknown as boolean }),
        'bad-request',
        `Publishing to ${topic}: hasGd must be true or false`,
      ],
      [
        'a misspelt key',
        ({ pubsub }) => pubsub.publish(topic, { data: 'x', prioritty: 9 } as object),
        'bad-request',
        `Publishing to ${topic}: "prioritty" cannot go with data; metadata is priority, expiration, mimeType, correlId, cid, inReplyTo, extClientId, extPubTime, hasGd, idempotencyKey`,
      ],
      [
        'a time that is none',
        ({ pubsub }) => pubsub.publish(topic, 'x', { extPubTime: 'yesterday' }),
        'bad-request',
        `Publishing to ${topic}: extPubTime must be a Date or an ISO 8601 time`,
      ],
      [
        'a type that is none',
        ({ pubsub }) => pubsub.publish(topic, 'x', { mimeType: 'text' }),
        'bad-request',
        `Publishing to ${topic}: mimeType must be a MIME type such as text/plain`,
      ],
      [
        'a correlation id that is no text',
        ({ pubsub }) => pubsub.publish(topic, 'x', { correlId: 1 as unknown as string }),
        'bad-request',
        `Publishing to ${topic}: correlId must be text`,
      ],
      [
        'data that JSON does not know',
        ({ pubsub }) => pubsub.publish(topic, { data: { n: 1n } }),
        'bad-request',
        `Publishing to ${topic}: data.n is a BigInt, which JSON does not know: give it as text`,
      ],
      [
        'a list with data beside it',
        ({ pubsub }) => pubsub.publish(topic, { dataList: [], data: 'x' }),
        'bad-request',
        'dataList must be a list of messages, each with its own data and metadata',
      ],
      [
        'no topic at all',
        ({ pubsub }) => pubsub.publish('', 'x'),
        'bad-request',
        'publish wants a topic, the name of a service or its class',
      ],
      [
        'what cannot name a topic',
        ({ pubsub }) => pubsub.publish('/a#b', 'x'),
        'bad-request',
        'Topic name cannot contain "#" character',
      ],
      [
        'an unknown topic',
        ({ pubsub }) => pubsub.publish('/none', 'x'),
        'not-found',
        'No such topic `/none`',
      ],
      [
        'a topic that is not enabled',
        ({ pubsub }) => pubsub.publish('/zato/demo/off', 'x'),
        'unavailable',
        'Topic is inactive `/zato/demo/off`',
      ],
      [
        'an unknown endpoint',
        ({ pubsub }) => pubsub.publish(topic, 'x', { endpointName: 'nobody' }),
        'not-found',
        'No such endpoint `nobody`',
      ],
      [
        'an endpoint without a pattern for it',
        ({ pubsub }) => pubsub.publish('/elsewhere', 'x', { endpointName: 'My REST Endpoint' }),
        'forbidden',
        notAllowed,
      ],
      [
        'an endpoint without a pattern, also where there is no such topic',
        ({ pubsub }) => pubsub.publish('/none', 'x', { endpointName: 'writer' }),
        'forbidden',
        notAllowed,
      ],
      [
        'an endpoint whose role is to subscribe',
        ({ pubsub }) => pubsub.publish(topic, 'x', { endpointName: 'reader' }),
        'forbidden',
        notAllowed,
      ],
      [
        'a service that the endpoint has no pattern for',
        ({ pubsub }) => pubsub.publish('test.run', 'x', { endpointName: 'writer' }),
        'forbidden',
        notAllowed,
      ],
    ];
    for (const [what, work, code, message] of bad) {
      it(`refuses ${what}`, async () => {
        const world = await parties();
        const error = await refused(world, work);
        expect({ code: error.code, message: error.message }).to.deep.equal({ code, message });
      });
    }
  });

  describe('subscribe', () => {
    it('gives an endpoint one queue for each topic, whoever subscribes it', async () => {
      const world = await parties();
      const other = await world.other();
      open.push(other);
      const keys = await Promise.all([subscribed(world), subscribed(other), subscribed(world)]);
      expect(new Set(keys).size).to.equal(1);
      expect(keys[0]).to.match(restKey);
      expect(await subscribed(world, '/zato/demo/other')).to.not.equal(keys[0]);
      await world.run(({ pubsub }) => pubsub.publish(topic, 'once'));
      expect((await world.broker.broker.depth([keys[0] ?? '']))[0]?.waiting).to.equal(1);
    });

    it('keeps who it is for, and the pattern that allowed it', async () => {
      const world = await parties();
      await subscribed(world);
      expect(world.broker.broker.subscriptions()[0]).to.deep.include({
        topics: [topic],
        push: false,
        facts: { kind: 'rest', endpoint: 'My REST Endpoint', pattern: '/zato/demo/*' },
      });
    });

    it('is known to another process at once', async () => {
      const world = await parties();
      const other = await world.other();
      open.push(other);
      const subKey = await subscribed(world);
      await world.run(({ pubsub }) => pubsub.publish(topic, 'x'));
      const got = await other.run(({ pubsub }) => pubsub.getMessages(topic, subKey));
      expect(got).to.have.length(1);
    });

    const bad: [string, (service: Service) => unknown, string, string][] = [
      [
        'without an endpoint’s name',
        ({ pubsub }) => pubsub.subscribe(topic, {} as { endpointName: string }),
        'bad-request',
        'Parameter `endpoint_name` is required for non-WebSockets subscriptions',
      ],
      [
        'an unknown endpoint',
        ({ pubsub }) => pubsub.subscribe(topic, { endpointName: 'nobody' }),
        'not-found',
        'No such endpoint `nobody`',
      ],
      [
        'an unknown topic',
        ({ pubsub }) => pubsub.subscribe('/zato/none', { endpointName: 'reader' }),
        'not-found',
        'No such topic `/zato/none`',
      ],
      [
        'an endpoint without a pattern for it',
        ({ pubsub }) => pubsub.subscribe('/elsewhere', { endpointName: 'reader' }),
        'forbidden',
        notAllowed,
      ],
      [
        'an endpoint whose role is to publish',
        ({ pubsub }) => pubsub.subscribe(topic, { endpointName: 'writer' }),
        'forbidden',
        notAllowed,
      ],
      [
        'a WebSocket without the service',
        ({ pubsub }) =>
          pubsub.subscribe(topic, { useCurrentWsx: true } as unknown as { endpointName: string }),
        'bad-request',
        'Parameter `service` is required if `use_current_wsx` is True',
      ],
      [
        'a WebSocket where none called',
        (service) => service.pubsub.subscribe(topic, { useCurrentWsx: true, service }),
        'bad-request',
        'The service was not called over a WebSocket: there is no current client to subscribe',
      ],
    ];
    for (const [what, work, code, message] of bad) {
      it(`refuses ${what}`, async () => {
        const world = await parties();
        const error = await refused(world, work);
        expect({ code: error.code, message: error.message }).to.deep.equal({ code, message });
      });
    }
  });

  describe('of WebSocket clients', () => {
    const session = { id: 'ws.1', channel: 'chat' } as WsxSession;

    async function wired() {
      const asked: unknown[] = [];
      const wsxPubsub: WsxPubSubPort = {
        async subscribe(...call) {
          asked.push(['subscribe', ...call]);
          return 'zpsk.websockets.d552ea2b0f2ff7a3815f9282';
        },
        async resume(...call) {
          asked.push(['resume', ...call]);
        },
      };
      return { world: await parties({ ports: { wsxPubsub } }), asked };
    }

    it('subscribes the one that called; its queue ends with it unless it is to stay', async () => {
      const { world, asked } = await wired();
      const subscribe = (unsubOnWsxClose?: boolean) =>
        world.run(
          (service) =>
            service.pubsub.subscribe(topic, { useCurrentWsx: true, service, unsubOnWsxClose }),
          { wsx: session },
        );
      expect(await subscribe()).to.equal('zpsk.websockets.d552ea2b0f2ff7a3815f9282');
      await subscribe(false);
      expect(asked).to.deep.equal([
        ['subscribe', session, topic, { unsubOnClose: true }],
        ['subscribe', session, topic, { unsubOnClose: false }],
      ]);
    });

    it('resumes a queue for the one that called', async () => {
      const { world, asked } = await wired();
      const subKey = 'zpsk.wsx.6b0b83ebea3f6e6a64e8e73f';
      const resume = (service: Service) => service.pubsub.resumeWsxSubscription(subKey, service);
      await world.run(resume, { wsx: session });
      expect(asked).to.deep.equal([['resume', session, subKey]]);
      const error = await refused(world, resume);
      expect(error.message).to.contain('not called over a WebSocket');
    });

    it('is not there where no WebSocket can be', async () => {
      const world = await parties();
      const error = await rejection(
        world.run((service) => service.pubsub.subscribe(topic, { useCurrentWsx: true, service }), {
          wsx: session,
        }),
      );
      expect(error).to.include({ code: 'unavailable' });
    });
  });

  describe('looks without taking', () => {
    async function filled() {
      const world = await parties();
      const subKey = await subscribed(world);
      const dataList = Array.from({ length: 60 }, (_, n) => ({ data: `message ${n}` }));
      const ids = await world.run(({ pubsub }) => pubsub.publish(topic, { dataList }));
      return { world, subKey, ids };
    }

    it('reads a page, all of it, or what holds a text', async () => {
      const { world, subKey, ids } = await filled();
      const read = (options: object) =>
        world.run(({ pubsub }) => pubsub.readMessages(topic, subKey, options));
      const first = await read({});
      expect(first.map(({ msg_id }) => msg_id)).to.deep.equal(ids.slice(0, 50));
      expect(first[0]).to.include({ data: 'message 0', delivery_count: 0, pub_msg_id: ids[0] });
      expect((await read({ curPage: 2 })).map(({ data }) => data)).to.have.length(10);
      expect(await read({ paginate: false })).to.have.length(60);
      expect((await read({ query: '5' })).map(({ msg_id }) => msg_id)).to.deep.equal(
        ids.filter((_, n) => String(n).includes('5')),
      );
      expect(await read({ query: 'message', curPage: 2 })).to.have.length(10);
      expect(await read({ curPage: 3 })).to.deep.equal([]);
      const error = await rejection(read({ curPage: 0 }));
      expect(error.message).to.equal('Page 0 was asked for; pages count from 1');
    });

    it('reads and deletes one by its id', async () => {
      const { world, subKey, ids } = await filled();
      const id = ids[7] ?? '';
      const one = await world.run(({ pubsub }) => pubsub.readMessage(topic, id));
      expect(one).to.include({ data: 'message 7', sub_key: subKey, msg_id: id });

      await world.run(({ pubsub }) => pubsub.deleteMessage(subKey, id));

      for (const work of [
        ({ pubsub }: Service) => pubsub.readMessage(topic, id),
        ({ pubsub }: Service) => pubsub.readMessage(topic, ids[8] ?? '', { subKey: 'sk-other' }),
        ({ pubsub }: Service) => pubsub.readMessage('/elsewhere', ids[8] ?? ''),
        ({ pubsub }: Service) => pubsub.deleteMessage(subKey, id),
        ({ pubsub }: Service) => pubsub.deleteMessage(subKey, 'zpsm'),
      ]) {
        expect((await refused(world, work)).message).to.match(/^No such message `zpsm/);
      }
      expect((await world.broker.broker.depth([subKey]))[0]?.waiting).to.equal(59);
    });

    it('does not take an id of another Redis for one of its own', async () => {
      const { world, subKey, ids } = await filled();
      const forged = (ids[3] ?? '').replace(/^zpsm.{8}/, 'zpsm00000000');
      const error = await refused(world, ({ pubsub }) => pubsub.deleteMessage(subKey, forged));
      expect(error.message).to.equal(`No such message \`${forged}\``);
    });

    it('does not delete what is being delivered', async () => {
      const { world, subKey, ids } = await filled();
      await world.broker.broker.take(subKey, { max: 1 });
      const error = await refused(world, ({ pubsub }) =>
        pubsub.deleteMessage(subKey, ids[0] ?? ''),
      );
      expect(error.code).to.equal('conflict');
    });
  });

  it('refuses queues that are not there, or never get the topic', async () => {
    const world = await parties();
    const subKey = await subscribed(world);
    const wrong = await refused(world, ({ pubsub }) => pubsub.getMessages('/elsewhere', subKey));
    expect(wrong.message).to.equal(
      `sub_key \`${subKey}\` is not subscribed to topic \`/elsewhere\``,
    );
    const none = await refused(world, ({ pubsub }) => pubsub.getMessages(topic, 'zpsk.rest.0'));
    expect(none).to.include({ code: 'not-found', message: 'No such sub_key `zpsk.rest.0`' });
  });

  it('makes topics', async () => {
    const world = await parties();
    const make = (isActive?: boolean) =>
      world.run(({ pubsub }) => pubsub.createTopic({ name: '/made', isActive }));
    await make();
    expect(await world.run(({ pubsub }) => pubsub.publish('/made', 'x'))).to.match(messageId);
    expect(await rejection(make(false))).to.include({ code: 'conflict' });
  });

  describe('when endpoints change', () => {
    it('delivers nothing that the endpoint may no longer have', async () => {
      const world = await parties();
      const subKey = await subscribed(world);
      await world.run(({ pubsub }) => pubsub.publish(topic, 'secret'));
      world.define({ 'My REST Endpoint': { subscribe: ['/elsewhere'] } });

      const got = await world.run(({ pubsub }) => pubsub.getMessages(topic, subKey));

      expect(got).to.deep.equal([]);
      const { items } = await world.broker.broker.browse(subKey, { state: 'dead' });
      expect(items[0]?.reason).to.equal('not-permitted');
    });

    it('drops the queues of those that are gone, and no other', async () => {
      const world = await parties();
      const subKey = await subscribed(world);
      const [kept] = [
        await world.run(({ pubsub }) => pubsub.subscribe(topic, { endpointName: 'reader' })),
      ];
      await world.broker.broker.subscribe(pull('operators', topic));
      await world.run(({ pubsub }) => pubsub.publish(topic, 'x'));
      world.define({ reader: endpoints.reader });

      expect(await world.endpointBroker.dropOrphans()).to.deep.equal([subKey]);

      const left = world.broker.broker.subscriptions().map((one) => one.subKey);
      expect(left).to.have.members([kept, 'operators']);
      await until(async () => {
        const [depth] = await world.broker.broker.depth([subKey]);
        return depth?.waiting === 0;
      });
    });
  });
});

import { once } from 'node:events';
import { connect } from 'node:net';
import { expect } from 'chai';
import type { BrokerPort } from '../../../../channels/pubsub/zato3/ports.ts';
import { Fault } from '../../../../runtime/core/fault.ts';
import { RouteTable } from '../../../../runtime/pubsub/route-table.ts';
import { subscriptionType } from '../../../../runtime/pubsub/subscription-definition.ts';
import { pull } from '../../../support/broker.ts';
import { startRedis, type TestRedis } from '../../../support/redis.ts';
import { until } from '../../../support/until.ts';
import { basic, serving, stopAll, type World } from './fixture.ts';

const messageId = /^zpsm[0-9a-f]{24}$/;
const notAllowed = 'You are not allowed to access this resource';
const topicPath = '/zato/pubsub/topic//customer/created';
const subscribePath = '/zato/pubsub/subscribe/topic//customer/created';

describe('Zato 3.x REST', () => {
  let redis: TestRedis;
  let world: World;

  before(async () => {
    redis = await startRedis();
  });

  afterEach(stopAll);

  after(() => redis.stop());

  const served = async (options: Parameters<typeof serving>[1] = {}): Promise<World> => {
    world = await serving(redis, options);
    return world;
  };

  const depth = async (user = 'CRM') => {
    const queue = world.parties.broker.broker
      .subscriptions()
      .find(({ facts }) => facts['endpoint'] === user);
    const [found] = await world.parties.broker.broker.depth([queue?.subKey ?? '']);
    return found;
  };

  it('subscribes, publishes, gets and unsubscribes', async () => {
    await served();

    const subscribed = await world.subscribe();
    expect(subscribed.status).to.equal(200);
    expect(subscribed.text).to.match(/^\{"sub_key":"zpsk\.rest\.[0-9a-f]{24}","queue_depth":0\}$/);
    const published = await world.publish({ data: 'Hello' });
    expect(published.status).to.equal(200);
    expect(published.headers['content-type']).to.equal('application/json');
    expect(published.text).to.match(/^\{"msg_id":"zpsm[0-9a-f]{24}"\}$/);

    const [message, ...more] = await world.get();

    expect(more).to.deep.equal([]);
    const { pub_time_iso, recv_time_iso, expiration_time_iso, ...rest } = message ?? {};
    expect(rest).to.deep.equal({
      data: 'Hello',
      msg_id: published.json['msg_id'],
      topic_name: '/customer/created',
      sub_key: subscribed.json['sub_key'],
      delivery_count: 1,
      priority: 5,
      expiration: 2_147_483_647,
      mime_type: 'application/json',
      size: 5,
    });
    for (const time of [pub_time_iso, recv_time_iso, expiration_time_iso]) {
      expect(time).to.match(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}$/);
    }
    await until(async () => (await depth())?.leased === 0);
    expect(await world.get()).to.deep.equal([]);
    const unsubscribed = await world.ask('DELETE', subscribePath);
    expect([unsubscribed.status, unsubscribed.text]).to.deep.equal([200, '{}']);
    expect((await world.ask('PATCH', topicPath)).status).to.equal(400);
  });

  it('answers {} to who is subscribed already, and to who is not and unsubscribes', async () => {
    await served();
    expect((await world.ask('DELETE', subscribePath)).text).to.equal('{}');
    await world.subscribe();
    await world.publish({ data: 'kept' });
    const again = await world.subscribe();
    expect([again.status, again.text]).to.deep.equal([200, '{}']);
    expect(await world.get()).to.have.length(1);
  });

  it('gives the newest first, and each endpoint its own copy', async () => {
    await served();
    await Promise.all([world.subscribe(), world.subscribe({ user: 'erp' })]);
    for (const data of ['a', 'b', 'c']) await world.publish({ data, priority: 9 });
    const data = async (user: string) => (await world.get({ user })).map((one) => one['data']);
    expect(await data('crm')).to.deep.equal(['c', 'b', 'a']);
    expect(await data('erp')).to.deep.equal(['c', 'b', 'a']);
    expect((await world.subscribe({ user: 'listener' })).json['queue_depth']).to.equal(0);
  });

  it('takes topics in any case and with escapes in the URL', async () => {
    await served();
    await world.ask('POST', '/zato/pubsub/subscribe/topic//customer/new%20one');
    await world.ask('POST', '/zato/pubsub/topic/%2FCustomer/New%20one?x=1', { data: 1 });
    const { json } = await world.ask('PATCH', '/zato/pubsub/topic//customer/new%20one');
    expect((json as unknown as object[])[0]).to.include({ topic_name: '/customer/new one' });
  });

  it('leaves paths of others alone: those of 2.0 end in a slash', async () => {
    await served();
    for (const path of [
      '/zato/pubsub/topic//customer/created/',
      '/zato/pubsub/msg//customer/created',
      '/zato/pubsub/topic/',
      '/zato/pubsub',
      '/pubsub/topic/demo.1',
      '/',
    ]) {
      const { json } = await world.ask('POST', path, { data: 1 });
      expect(json['error']).to.include({ code: 'not-found' });
    }
  });

  describe('publishes', () => {
    it('priority, expiration and ids', async () => {
      await served();
      await world.subscribe();
      const facts = { correl_id: 'c', in_reply_to: 'r', ext_client_id: 'x', has_gd: true };
      await world.publish({ data: 1, priority: 9, expiration: 60, ...facts });
      await world.publish({ data: 2, priority: '1', expiration: '1.5', correl_id: 12 });
      const [second, first] = await world.get();
      const { has_gd: _, ...kept } = facts;
      expect(first).to.include({ priority: 9, expiration: 60, ...kept });
      expect(second).to.include({ priority: 1, expiration: 2, correl_id: '12' });
      expect(Object.keys(second ?? {})).to.not.include('in_reply_to');
    });

    it('what the topic says where the message does not', async () => {
      await served();
      const path = '/zato/pubsub/topic//customer/rules';
      await world.ask('POST', '/zato/pubsub/subscribe/topic//customer/rules');
      await world.ask('POST', path, { data: 1, priority: null, expiration: 0 });
      const { json } = await world.ask('PATCH', path);
      expect((json as unknown as object[])[0]).to.include({ priority: 8, expiration: 60 });
    });

    it('JSON exactly as it came, big integers and all', async () => {
      await served();
      await world.subscribe();
      for (const data of [
        '{"n":12345678901234567890,"z":-0, "e":1e400}',
        '"zażółć \\ud83d\\udc0e"',
        '[0.10]',
        '0',
        'false',
      ]) {
        expect((await world.publish(`{"priority":5,"data": ${data} }`)).status).to.equal(200);
        const { text } = await world.ask('PATCH', topicPath);
        expect(text.startsWith(`[{"data":${data},"msg_id":`)).to.equal(true, text);
        await until(async () => (await depth())?.leased === 0);
      }
    });

    it('a string as text of the type that the header says', async () => {
      await served();
      await world.subscribe();
      const types: readonly (readonly [string | undefined, unknown, string])[] = [
        [undefined, 'a', 'application/json'],
        ['application/x-www-form-urlencoded', 'a', 'application/json'],
        ['application/json; charset=utf-8', 'a', 'application/json'],
        ['text/plain', 'zażółć', 'text/plain'],
        ['application/xml', '<a/>', 'application/xml'],
        ['text/plain', { a: 1 }, 'application/json'],
      ];
      for (const [type, data] of types) {
        const headers: Record<string, string> = type === undefined ? {} : { 'content-type': type };
        await world.publish({ data }, { headers });
      }
      const got = await world.get();
      expect(got.toReversed().map(({ data, mime_type }) => [data, mime_type])).to.deep.equal(
        types.map(([, data, type]) => [data, type]),
      );
    });

    it('once under one Idempotency-Key', async () => {
      await served();
      await world.subscribe();
      const headers = { 'idempotency-key': 'k1' };
      const first = await world.publish({ data: 1 }, { headers });
      const second = await world.publish({ data: 1 }, { headers });
      expect(second.text).to.equal(first.text);
      expect(await world.get()).to.have.length(1);
      expect((await world.publish({ data: 2 }, { headers })).status).to.equal(409);
    });

    it('under the name of its security', async () => {
      await served();
      await world.subscribe();
      await world.publish({ data: 1 });
      const { items } = await world.parties.broker.broker.browse(
        world.parties.broker.broker.subscriptions()[0]?.subKey ?? '',
        { state: 'waiting' },
      );
      expect(items[0]?.message.publisher).to.equal('crm');
    });
  });

  describe('answers 403, always the same', () => {
    const cases: readonly (readonly [string, string, string, string | null])[] = [
      ['nobody', 'POST', topicPath, null],
      ['nobody who gets', 'PATCH', topicPath, null],
      ['nobody who subscribes', 'POST', subscribePath, null],
      ['an unknown user', 'POST', topicPath, 'who'],
      ['a user without an endpoint', 'POST', topicPath, 'stranger'],
      ['who may not publish this topic', 'POST', '/zato/pubsub/topic//other', 'crm'],
      ['whose role is to subscribe', 'POST', topicPath, 'listener'],
      ['whose role is to publish, and gets', 'PATCH', topicPath, 'sender'],
      ['whose role is to publish, and subscribes', 'POST', subscribePath, 'sender'],
      ['who may not get this topic', 'PATCH', '/zato/pubsub/topic//other', 'crm'],
      ['who may not subscribe to it', 'POST', '/zato/pubsub/subscribe/topic//other', 'crm'],
      ['an unknown topic', 'POST', '/zato/pubsub/topic//none', 'crm'],
      ['an unknown topic that it might publish', 'POST', '/zato/pubsub/topic//undefined', 'sender'],
      [
        'an unknown topic that it might get',
        'POST',
        '/zato/pubsub/subscribe/topic//undefined',
        'listener',
      ],
    ];
    for (const [who, method, path, user] of cases) {
      it(`to ${who}`, async () => {
        await served();
        const { status, text, json, headers } = await world.ask(
          method,
          path,
          method === 'POST' ? { data: 1 } : undefined,
          { user },
        );
        expect(status).to.equal(403);
        expect(text).to.equal(
          `{"result":"Error","cid":"${json['cid']}","details":"${notAllowed}"}`,
        );
        expect(json['cid']).to.match(/^\d{8}-\d{6}-\d{4}-[0-9a-f]{16}a$/);
        expect(headers['www-authenticate']).to.equal(undefined);
      });
    }

    it('to a wrong password', async () => {
      await served();
      const headers = { authorization: basic('crm', 'wrong') };
      const { status, json } = await world.ask('PATCH', topicPath, undefined, {
        user: null,
        headers,
      });
      expect([status, json['details']]).to.deep.equal([403, notAllowed]);
    });

    it('before the body is looked at', async () => {
      await served();
      expect((await world.publish('{', { user: 'stranger' })).status).to.equal(403);
      expect((await world.publish('{', { user: 'listener' })).status).to.equal(403);
    });
  });

  describe('answers 400', () => {
    const bodies: readonly (readonly [string, string | Buffer])[] = [
      ['no body', ''],
      ['a body that is not JSON', 'hello'],
      ['a body that is no object', '[1]'],
      ['bytes that are no text', Buffer.from([0x7b, 0xff, 0x7d])],
      ['no data', '{"priority":5}'],
      ['null', '{"data":null}'],
      ['empty text', '{"data":""}'],
      ['an empty object', '{"data":{}}'],
      ['an empty list', '{"data":[]}'],
      ['priority 0', '{"data":1,"priority":0}'],
      ['priority 10', '{"data":1,"priority":10}'],
      ['a priority that is no number', '{"data":1,"priority":"high"}'],
      ['a negative expiration', '{"data":1,"expiration":-1}'],
      ['an expiration that is no number', '{"data":1,"expiration":[]}'],
      ['a correlation id that is an object', '{"data":1,"correl_id":{}}'],
      [
        'a client id that is too long',
        JSON.stringify({ data: 1, ext_client_id: 'x'.repeat(2_001) }),
      ],
    ];
    for (const [what, body] of bodies) {
      it(`without the reason to ${what}`, async () => {
        await served();
        const { status, json } = await world.publish(body);
        expect([status, json['result'], json['details']]).to.deep.equal([
          400,
          'Error',
          'Bad request',
        ]);
      });
    }

    it('without the reason to what cannot name a topic', async () => {
      await served();
      for (const path of ['/zato/pubsub/topic//a%23', '/zato/pubsub/topic//%C5%BC']) {
        const { status, json } = await world.ask('POST', path, { data: 1 });
        expect([status, json['details']]).to.deep.equal([400, 'Bad request']);
      }
    });

    it('without the reason to a long type, and to a bad idempotency key', async () => {
      await served();
      const long = { 'content-type': `text/${'x'.repeat(251)}` };
      expect((await world.publish({ data: 'a' }, { headers: long })).status).to.equal(400);
      const type = { 'content-type': `text/${'x'.repeat(250)}` };
      expect((await world.publish({ data: 'a' }, { headers: type })).status).to.equal(200);
      const key = { 'idempotency-key': 'a b' };
      expect((await world.publish({ data: 'a' }, { headers: key })).status).to.equal(400);
    });

    it('with the reason to who is not subscribed', async () => {
      await served();
      const { status, json } = await world.ask('PATCH', topicPath);
      expect([status, json['details']]).to.deep.equal([
        400,
        'You are not subscribed to topic `/customer/created`',
      ]);
    });
  });

  it('answers 405 to other methods, and which it takes', async () => {
    await served();
    for (const [path, methods, allow] of [
      [topicPath, ['GET', 'PUT', 'DELETE', 'OPTIONS'], 'POST, PATCH'],
      [subscribePath, ['GET', 'PUT', 'PATCH'], 'POST, DELETE'],
    ] as const) {
      for (const method of methods) {
        const { status, json, headers } = await world.ask(method, path);
        expect([status, headers['allow'], json['details']]).to.deep.equal([
          405,
          allow,
          'Unsupported HTTP method',
        ]);
      }
    }
  });

  it('answers 413 to what is longer than the topic takes, and than 8 MB', async () => {
    await served();
    const small = '/zato/pubsub/topic//customer/small';
    expect((await world.ask('POST', small, { data: 'x'.repeat(8) })).status).to.equal(200);
    expect((await world.ask('POST', small, { data: 'x'.repeat(9) })).status).to.equal(413);
    const body = `{"data":"${'x'.repeat(8 * 1_048_576)}"}`;
    expect((await world.publish(body)).status).to.equal(413);
  });

  it('F48: answers 503 for a full queue, and when to come again', async () => {
    await served();
    const spec = { topics: ['/customer/created'], security: 'x', maxDepth: 1, subKey: 'full' };
    const definition = { name: 'full', spec: subscriptionType().schema.parse(spec) };
    world.parties.routes.routes = RouteTable.of([definition], 0);
    expect((await world.publish({ data: 1 })).status).to.equal(200);
    const { status, headers, json } = await world.publish({ data: 2 });
    expect([status, headers['retry-after']]).to.deep.equal([503, '5']);
    expect(json['details']).to.equal('A queue of topic /customer/created is full');
  });

  it('answers 503 to a topic that is not enabled', async () => {
    await served();
    const off = await world.ask('POST', '/zato/pubsub/topic//customer/off', { data: 1 });
    expect([off.status, off.json['details']]).to.deep.equal([
      503,
      'Topic is inactive `/customer/off`',
    ]);
  });

  it('answers 500 without its inside for a bug, which is logged', async () => {
    await served({
      broker: (real) => ({
        take: () => Promise.reject(new Error('secret')),
        ack: (...args) => real.ack(...args),
        reject: (...args) => real.reject(...args),
      }),
    });
    await world.subscribe();
    const { status, json } = await world.ask('PATCH', topicPath);
    expect([status, json['details']]).to.deep.equal([500, 'An error has occurred']);
    expect(world.parties.log.lines.at(-1)).to.include({
      level: 'error',
      message: 'pub/sub request failed',
    });
  });

  it('answers 503 and when to come again while Redis does not answer', async () => {
    const late = new Fault('unavailable', 'Redis did not answer', { retryAfterMs: 1_000 });
    await served({
      broker: (real) => ({
        take: () => Promise.reject(late),
        ack: (...args) => real.ack(...args),
        reject: (...args) => real.reject(...args),
      }),
    });
    await world.subscribe();
    const { status, headers } = await world.ask('PATCH', topicPath);
    expect([status, headers['retry-after']]).to.deep.equal([503, '1']);
  });

  describe('keeps a message until its reader has it', () => {
    it('and gives it again when the reader went away in the middle of the answer', async () => {
      let taken = () => {};
      let answer = () => {};
      const began = new Promise<void>((resolve) => {
        taken = resolve;
      });
      const held = new Promise<void>((resolve) => {
        answer = resolve;
      });
      let first = true;
      await served({
        broker: (real: BrokerPort) => ({
          take: async (...args) => {
            const deliveries = await real.take(...args);
            if (first && deliveries.length > 0) {
              first = false;
              taken();
              await held;
            }
            return deliveries;
          },
          ack: (...args) => real.ack(...args),
          reject: (...args) => real.reject(...args),
        }),
      });
      await world.subscribe();
      await world.publish({ data: 'x'.repeat(1_000_000) });
      const socket = connect(world.port, '127.0.0.1');
      socket.write(
        `PATCH ${topicPath} HTTP/1.1\r\nHost: a\r\nAuthorization: ${basic('crm')}\r\n\r\n`,
      );
      await began;
      socket.resetAndDestroy();
      await once(socket, 'close');
      answer();

      const again = await until(async () => (await world.get())[0]);

      expect(again['delivery_count']).to.equal(2);
      await until(async () => {
        const found = await depth();
        return found?.leased === 0 && found.waiting === 0;
      });
    });

    it('and drains when all that was handed out is settled', async () => {
      await served();
      await world.subscribe();
      await world.publish({ data: 'x' });
      expect(await world.get()).to.have.length(1);
      await world.door.drain();
      expect(await depth()).to.include({ waiting: 0, leased: 0 });
    });
  });

  it('takes only its topic from a queue that somebody gave more topics', async () => {
    await served();
    const { json } = await world.subscribe();
    const subKey = String(json['sub_key']);
    const facts = { endpoint: 'CRM' };
    const wide = { ...pull(subKey, '/customer/created', '/customer/rules'), facts };
    await world.parties.broker.broker.subscribe(wide);
    await world.ask('POST', '/zato/pubsub/topic//customer/rules', { data: 'rules' });
    await world.publish({ data: 'created' });
    expect((await world.get()).map(({ data }) => data)).to.deep.equal(['created']);
  });

  it('survives any path and body', async () => {
    await served();
    const answers = await Promise.all(
      Array.from({ length: 200 }, (_, n) => {
        const noise = Buffer.from(`${n * 7919}`).toString('base64url');
        const path = ['%', '%ff', '//', '?', ';', '..', '%00', noise][n % 8];
        const body = ['{', '{"data":', '"', noise, '{"data":1}'][n % 5];
        return world.ask(['POST', 'PATCH', 'DELETE'][n % 3] ?? '', `${topicPath}${path}`, body);
      }),
    );
    expect(answers.filter(({ status }) => status >= 500)).to.deep.equal([]);
    await world.subscribe();
    expect((await world.publish({ data: 'x' })).json['msg_id']).to.match(messageId);
  });
});

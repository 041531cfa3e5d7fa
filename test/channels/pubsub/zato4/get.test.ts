import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { expect } from 'chai';
import { startRedis, type TestRedis } from '../../../support/redis.ts';
import { until } from '../../../support/until.ts';
import { basic, type Got, serving, stopAll, type World, type WorldOptions } from './fixture.ts';

const timePattern = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}000\+00:00$/;
const spanPattern = /^0:00:0\d(\.\d{3}000)?$/;

describe('Zato 4 REST: get', () => {
  let redis: TestRedis;
  let world: World;

  before(async () => {
    redis = await startRedis();
  });
  after(() => redis.stop());
  afterEach(stopAll);

  const served = async (options?: WorldOptions) => {
    world = await serving(redis, options);
    return world;
  };
  const got = async (body?: unknown): Promise<readonly Got[]> => {
    const { status, text, json } = await world.get(body);
    expect(status, text).to.equal(200);
    expect(json.messages).to.have.length(json.message_count ?? -1);
    return json.messages ?? [];
  };
  const publishAll = async (...data: readonly unknown[]) => {
    for (const one of data) expect((await world.publish({ data: one })).status).to.equal(200);
  };
  const depth = async () => (await world.broker.broker.depth([world.subKey]))[0];
  const leased = async () => (await depth())?.leased;

  it('answers with the envelope and the meta in their order', async () => {
    await served();
    const published = await world.publish({
      data: { order_id: 1 },
      priority: 8,
      expiration: 60,
      correl_id: 'c',
      in_reply_to: 'r',
      ext_client_id: 'e',
    });
    const { json } = await world.get();
    expect(Object.keys(json)).to.deep.equal([
      'is_ok',
      'cid',
      'messages',
      'message_count',
      'status',
    ]);
    expect(json).to.include({ is_ok: true, message_count: 1, status: '200 OK' });
    const [{ data, meta } = {} as Got] = json.messages ?? [];
    expect(data).to.deep.equal({ order_id: 1 });
    expect(Object.keys(meta)).to.deep.equal([
      'topic_name',
      'size',
      'priority',
      'expiration',
      'msg_id',
      'sub_key',
      'pub_time_iso',
      'recv_time_iso',
      'expiration_time_iso',
      'time_since_pub',
      'time_since_recv',
      'correl_id',
      'in_reply_to',
      'ext_client_id',
    ]);
    expect(meta).to.include({
      topic_name: 'demo.1',
      size: '{"order_id":1}'.length,
      priority: 8,
      expiration: 60,
      msg_id: published.json.msg_id,
      sub_key: world.subKey,
      correl_id: 'c',
      in_reply_to: 'r',
      ext_client_id: 'e',
    });
    for (const key of ['pub_time_iso', 'recv_time_iso', 'expiration_time_iso']) {
      expect(meta[key]).to.match(timePattern);
    }
    for (const key of ['time_since_pub', 'time_since_recv'])
      expect(meta[key]).to.match(spanPattern);
    const at = (key: string) => Date.parse(String(meta[key]));
    expect(at('expiration_time_iso') - at('recv_time_iso')).to.equal(60_000);
  });

  it('answers an empty queue with no messages', async () => {
    await served();
    const { status, text, json } = await world.get();
    expect(status).to.equal(200);
    expect(text).to.equal(
      `{"is_ok":true,"cid":"${json.cid}","messages":[],"message_count":0,"status":"200 OK"}`,
    );
  });

  it('says how long ago as Python does', async () => {
    await served();
    const daysAgo = (days: number) => new Date(Date.now() - days * 86_400_000).toISOString();
    for (const [pub_time, expected] of [
      [daysAgo(1), /^1 day, 0:00:0\d(\.\d{3}000)?$/],
      [daysAgo(2.5), /^2 days, 12:00:0\d(\.\d{3}000)?$/],
      [daysAgo(-1), /^0:00:00$/],
    ] as const) {
      await world.publish({ data: 1, pub_time });
      const [message] = await got();
      expect(message?.meta['time_since_pub']).to.match(expected);
    }
  });

  it('counts the characters of data as Python does', async () => {
    await served();
    for (const [raw, size] of [
      ['"abc"', 3],
      ['""', 0],
      ['"\\"\\u00e9\\n"', 3],
      ['"\\ud83d\\ude00"', 1],
      ['"\u65e5\u672c\ud83d\ude00"', 3],
      ['"\\ud800"', 1],
      ['{"a": "\u65e5"}', 10],
      ['12345678901234567890', 20],
      ['[]', 2],
    ] as const) {
      await world.publish(`{"data":${raw}}`);
      const [message] = await got();
      expect([raw, message?.meta.size]).to.deep.equal([raw, size]);
    }
  });

  it('gives what is not JSON as a string', async () => {
    await served();
    const publish = (data: Buffer, contentType: string) =>
      world.broker.broker.publish({ topic: 'demo.1', data, cid: 'c', contentType });
    await publish(Buffer.from('a "b"\n'), 'text/plain');
    await publish(Buffer.from([0xff, 0x00]), 'application/octet-stream');
    const messages = await got();
    expect(messages.map(({ data, meta }) => [data, meta.size])).to.deep.equal([
      ['a "b"\n', 6],
      ['/wA=', 4],
    ]);
  });

  it('gives each message once, highest priority first, then oldest', async () => {
    await served();
    for (const [data, priority] of [
      ['a', 5],
      ['b', 9],
      ['c', 0],
      ['d', 5],
      ['e', 9],
    ]) {
      await world.publish({ data, priority }, data === 'd' ? 'demo.2' : 'demo.1');
    }
    expect((await got()).map(({ data }) => data)).to.deep.equal(['b', 'e', 'a', 'd', 'c']);
    expect(await got()).to.deep.equal([]);
    expect(await until(async () => (await depth())?.leased === 0)).to.equal(true);
  });

  it('drops what expired', async () => {
    await served();
    const { receivedAt } = await world.broker.publish('demo.1', 'gone', { expirationMs: 1 });
    await publishAll('here');
    await until(() => Date.now() > receivedAt + 5);
    expect((await got()).map(({ data }) => data)).to.deep.equal(['here']);
  });

  describe('max_messages', () => {
    it('is 50 by default, also as 0 or nothing, and at most 1,000', async () => {
      await served();
      await Promise.all(
        Array.from({ length: 1_101 }, (_, at) => world.broker.publish('demo.1', at)),
      );
      expect(await got({ max_messages: 3 })).to.have.length(3);
      expect(await got()).to.have.length(50);
      for (const value of [0, null, '', false]) {
        expect(await got({ max_messages: value }), String(value)).to.have.length(50);
      }
      expect(await got({ max_messages: 2_000 })).to.have.length(848);
    });

    it('is capped at 1,000, and taken at 1', async () => {
      await served();
      await Promise.all(
        Array.from({ length: 1_003 }, (_, at) => world.broker.publish('demo.1', at)),
      );
      expect(await got({ max_messages: '1' })).to.have.length(1);
      expect(await got({ max_messages: 1_001 })).to.have.length(1_000);
      expect(await got({ max_messages: 1_000 })).to.have.length(2);
    });
  });

  describe('max_len', () => {
    it('ends before the first message that does not fit', async () => {
      await served();
      await publishAll(...Array.from({ length: 5 }, () => 'x'.repeat(1_000)));
      expect(await got({ max_len: 2_500 })).to.have.length(2);
      expect(await got({ max_len: 999 })).to.have.length(0);
      expect(await got({ max_len: 50_000_000 })).to.have.length(3);
    });

    it('counts characters of strings without quotes, at the edge', async () => {
      await served();
      await publishAll('x'.repeat(100), 'y'.repeat(100), 'z'.repeat(100));
      expect(await got({ max_len: 299, max_messages: 1_000 })).to.have.length(2);
      await publishAll('x'.repeat(100), 'y'.repeat(100));
      expect(await got({ max_len: 300, max_messages: 1_000 })).to.have.length(3);
    });
  });

  for (const [body, details] of [
    ['{"max_messages":"x"}', "Invalid input: 'max_messages' must be a whole number, 0 or more"],
    ['{"max_messages":-1}', "Invalid input: 'max_messages' must be a whole number, 0 or more"],
    ['{"max_messages":[]}', "Invalid input: 'max_messages' must be a whole number, 0 or more"],
    ['{"max_len":"5.5"}', "Invalid input: 'max_len' must be a whole number, 0 or more"],
    ['{"ack":"never"}', 'Invalid input: \'ack\' must be "auto" or "manual"'],
    ['{"ack":true}', 'Invalid input: \'ack\' must be "auto" or "manual"'],
    ['{"lease":0.9}', "Invalid input: 'lease' must be a number, 1 to 3600"],
    ['{"lease":3601}', "Invalid input: 'lease' must be a number, 1 to 3600"],
    ['{"lease":"30"}', "Invalid input: 'lease' must be a number, 1 to 3600"],
    ['{"wait":-0.1}', "Invalid input: 'wait' must be a number, 0 to 60"],
    ['{"wait":60.1}', "Invalid input: 'wait' must be a number, 0 to 60"],
    ['{"wait":"1"}', "Invalid input: 'wait' must be a number, 0 to 60"],
    ['[]', "Invalid input: 'body' must be a JSON object"],
    ['5', "Invalid input: 'body' must be a JSON object"],
  ] as const) {
    it(`answers 400 to ${body}`, async () => {
      await served();
      const { status, json } = await world.get(body);
      expect(status).to.equal(400);
      expect(json).to.deep.equal({
        is_ok: false,
        cid: json.cid,
        details,
        status: '400 Bad Request',
      });
    });
  }

  it('answers 401 to strangers, and to who has no subscription', async () => {
    await served();
    for (const [user, details] of [
      [null, 'Authentication required'],
      ['user.3', 'Invalid credentials'],
      ['user.2', 'No subscription found for user'],
    ] as const) {
      const { status, text, json, headers } = await world.ask('/pubsub/messages/get', '{', {
        user,
      });
      expect(status).to.equal(401);
      expect(text).to.equal(
        `{"is_ok":false,"cid":"${json.cid}","details":"${details}","status":"401 Unauthorized"}`,
      );
      expect(headers['www-authenticate']).to.equal('Basic realm="Hence", charset="UTF-8"');
    }
    expect((await world.get('{')).status).to.equal(400);
    expect((await world.get('')).status).to.equal(200);
  });

  describe('F53: acknowledges only what was answered whole', () => {
    const head = (body: string) =>
      `POST /pubsub/messages/get HTTP/1.1\r\nHost: a\r\nAuthorization: ${basic('user.1')}\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
    /** Connects, asks, and reads nothing. */
    const asking = async (body = '{}'): Promise<Socket> => {
      const socket = connect(world.port, '127.0.0.1');
      socket.pause();
      await once(socket, 'connect');
      socket.write(head(body));
      return socket;
    };
    const large = (): Promise<void> =>
      publishAll(...Array.from({ length: 4 }, () => 'x'.repeat(4_000_000)));

    for (const how of ['resets', 'closes'] as const) {
      it(`and gives the same messages again at once when the client ${how} in the middle`, async () => {
        await served();
        await large();
        const socket = await asking();
        socket.resume();
        await once(socket, 'data');
        socket.pause();
        expect(await leased()).to.equal(4);
        if (how === 'resets') socket.resetAndDestroy();
        else socket.destroy();
        await until(async () => (await depth())?.waiting === 4);
        const again = await got();
        expect(
          again.map(({ meta }) => [meta['delivery_count'], meta['redelivered']]),
        ).to.deep.equal(Array.from({ length: 4 }, () => [2, true]));
        await until(async () => (await leased()) === 0);
        expect(await got()).to.deep.equal([]);
      });
    }

    it('and gives them back when the client left before there was an answer', async () => {
      await served();
      const socket = await asking('{"wait":30}');
      await until(() => world.channels.inFlight === 1);
      socket.resetAndDestroy();
      await until(() => world.channels.inFlight === 0);
      await publishAll('kept');
      const [message] = await got();
      expect(message?.data).to.equal('kept');
      expect(message?.meta).to.not.have.property('redelivered');
    });

    it('while a slow client reads, nobody else gets them', async () => {
      await served();
      await large();
      const socket = await asking();
      await until(async () => (await leased()) === 4);
      expect(await got()).to.deep.equal([]);
      let bytes = 0;
      socket.on('data', (chunk: Buffer) => {
        bytes += chunk.length;
      });
      socket.resume();
      await until(async () => (await leased()) === 0);
      expect(await until(() => bytes > 16_000_000)).to.equal(true);
      socket.destroy();
      expect((await depth())?.waiting).to.equal(0);
    });
  });

  it('says when a lease ended before the answer was written', async () => {
    await served({
      broker: (real) => ({
        publish: (publication) => real.publish(publication),
        take: (subKey, options) => real.take(subKey, options),
        ack: async (_subKey, leases) => leases.map(() => false),
        reject: (subKey, rejections) => real.reject(subKey, rejections),
      }),
    });
    await publishAll(1);
    expect(await got()).to.have.length(1);
    const line = await until(() => world.log.lines.find(({ level }) => level === 'warn'));
    expect(line).to.deep.include({ message: 'messages answered after their lease' });
  });

  describe('wait', () => {
    it('answers when a message comes', async () => {
      await served();
      const startedAt = performance.now();
      const waiting = got({ wait: 20 });
      await until(() => world.channels.inFlight === 1);
      await publishAll('late');
      expect((await waiting).map(({ data }) => data)).to.deep.equal(['late']);
      expect(performance.now() - startedAt).to.be.below(3_000);
    });

    it('answers with nothing when its time is up, and at once with 0', async () => {
      await served();
      const startedAt = performance.now();
      expect(await got({ wait: 0.2 })).to.deep.equal([]);
      expect(performance.now() - startedAt).to.be.within(190, 2_000);
      expect(await got({ wait: 0 })).to.deep.equal([]);
    });

    it('takes 60 s, and ends when the door drains', async () => {
      await served();
      const warnings: Error[] = [];
      const warn = (warning: Error) => warnings.push(warning);
      process.on('warning', warn);
      const waiting = Array.from({ length: 30 }, () =>
        world.ask('/pubsub/messages/get', { wait: 60 }),
      );
      await until(() => world.channels.inFlight >= 20);
      const drained = Promise.all([world.channels.drain(), world.door.drain()]);
      for (const { status, json, headers } of await Promise.all(waiting)) {
        expect([status, json.message_count, headers['connection']]).to.deep.equal([
          200,
          0,
          'close',
        ]);
      }
      await drained;
      process.off('warning', warn);
      expect(warnings).to.deep.equal([]);
    });
  });

  it('gives nothing while the subscription is paused, and all of it afterwards', async () => {
    await served();
    await publishAll(1);
    world.subscription.paused = true;
    expect(await got()).to.deep.equal([]);
    const startedAt = performance.now();
    expect(await got({ wait: 0.1 })).to.deep.equal([]);
    expect(performance.now() - startedAt).to.be.above(90);
    world.subscription.paused = false;
    expect(await got()).to.have.length(1);
  });

  it('drains only when what it answered is acknowledged', async () => {
    let release = () => {};
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    await served({
      broker: (real) => ({
        publish: (publication) => real.publish(publication),
        take: (subKey, options) => real.take(subKey, options),
        ack: async (subKey, leases) => {
          await held;
          return await real.ack(subKey, leases);
        },
        reject: (subKey, rejections) => real.reject(subKey, rejections),
      }),
    });
    await publishAll(1);
    expect(await got()).to.have.length(1);
    let drained = false;
    const draining = world.door.drain().then(() => {
      drained = true;
    });
    await world.channels.drain();
    expect(drained).to.equal(false);
    release();
    await draining;
    expect(await leased()).to.equal(0);
  });

  describe('with ack: "manual"', () => {
    const settle = async (path: 'ack' | 'reject', body: unknown) => {
      const { status, text, json } = await world.ask(`/pubsub/messages/${path}`, body);
      expect(status, text).to.equal(200);
      expect(Object.keys(json)).to.deep.equal(['is_ok', 'cid', 'results', 'status']);
      return (json.results ?? []).map(({ result }) => result);
    };
    const ackIds = (messages: readonly Got[]) => messages.map(({ meta }) => String(meta['ack_id']));

    it('keeps the messages leased until they are acknowledged', async () => {
      await served();
      await publishAll('a', 'b');
      const before = Date.now();
      const messages = await got({ ack: 'manual', lease: 60 });
      expect(Object.keys(messages[0]?.meta ?? {}).slice(-3)).to.deep.equal([
        'ack_id',
        'delivery_count',
        'lease_until',
      ]);
      const { meta } = messages[0] as Got;
      expect(meta['delivery_count']).to.equal(1);
      expect(meta['lease_until']).to.match(timePattern);
      expect(Date.parse(String(meta['lease_until']))).to.be.within(
        before + 60_000,
        Date.now() + 60_000,
      );
      expect(await leased()).to.equal(2);
      expect(await got()).to.deep.equal([]);
      expect(await settle('ack', { ack_ids: ackIds(messages) })).to.deep.equal(['acked', 'acked']);
      expect(await settle('ack', { ack_ids: ackIds(messages) })).to.deep.equal(['stale', 'stale']);
      expect(await settle('reject', { ack_ids: ackIds(messages) })).to.deep.equal([
        'stale',
        'stale',
      ]);
      expect(await depth()).to.include({ waiting: 0, leased: 0, dead: 0 });
    });

    it('takes a lease of 1 and of 3600 s, and the subscription\u2019s own by default', async () => {
      await served();
      await publishAll(1, 2, 3);
      for (const [lease, ms] of [
        [1, 1_000],
        [3_600, 3_600_000],
        [undefined, 30_000],
      ] as const) {
        const [message] = await got({ ack: 'manual', lease, max_messages: 1 });
        const left = Date.parse(String(message?.meta['lease_until'])) - Date.now();
        expect(left).to.be.within(ms - 1_000, ms);
      }
    });

    it('gives a message again, counted and flagged, when its lease ended', async () => {
      await served();
      await publishAll('slow');
      const [first] = await got({ ack: 'manual', lease: 1 });
      const [again] = await got({ ack: 'manual', wait: 5 });
      expect(again?.meta).to.include({ delivery_count: 2, redelivered: true });
      expect(again?.meta.msg_id).to.equal(first?.meta.msg_id);
      const ids = [...ackIds([first as Got]), 'nonsense', ...ackIds([again as Got])];
      expect(await settle('ack', { ack_ids: ids })).to.deep.equal(['stale', 'invalid', 'acked']);
    });

    it('puts a rejected message back, at once or later, and in the end to the dead letters', async () => {
      await served();
      world.subscription.maxDeliveries = 3;
      await publishAll('a', 'b');
      const [first, second] = await got({ ack: 'manual' });
      expect(await settle('reject', { ack_ids: ackIds([first as Got]) })).to.deep.equal([
        'waiting',
      ]);
      const [again] = await got({ ack: 'manual' });
      expect([again?.data, again?.meta['delivery_count']]).to.deep.equal(['a', 2]);
      const later = { ack_ids: ackIds([again as Got]), delay: 0.05, reason: 'not now' };
      expect(await settle('reject', later)).to.deep.equal(['delayed']);
      const [third] = await got({ ack: 'manual', wait: 5 });
      expect(
        await settle('reject', { ack_ids: ackIds([third as Got]), reason: 'no' }),
      ).to.deep.equal(['dead']);
      const { items } = await world.broker.broker.browse(world.subKey, { state: 'dead' });
      expect(
        items.map(({ reason, lastError, failures }) => [reason, lastError, failures]),
      ).to.deep.equal([['max-deliveries', 'no', 3]]);
      expect(await settle('ack', { ack_ids: ackIds([second as Got]) })).to.deep.equal(['acked']);
    });

    it('gives them back when the answer was not written whole', async () => {
      await served();
      await publishAll(...Array.from({ length: 4 }, () => 'x'.repeat(4_000_000)));
      const socket = connect(world.port, '127.0.0.1');
      const body = '{"ack":"manual","lease":3600}';
      socket.write(
        `POST /pubsub/messages/get HTTP/1.1\r\nHost: a\r\nAuthorization: ${basic('user.1')}\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
      );
      await once(socket, 'data');
      socket.resetAndDestroy();
      await until(async () => (await depth())?.waiting === 4);
    });

    it('holds a reader to the messages in flight of its subscription', async () => {
      await served();
      world.subscription.maxInflight = 2;
      await publishAll(1, 2, 3);
      const messages = await got({ ack: 'manual' });
      expect(messages).to.have.length(2);
      expect(await got({ ack: 'manual' })).to.have.length(0);
      await settle('ack', { ack_ids: ackIds(messages) });
      expect(await got({ ack: 'manual' })).to.have.length(1);
    });

    it('takes 1 to 1,000 ack ids', async () => {
      await served();
      const many = (count: number) => ({ ack_ids: Array.from({ length: count }, () => 'x') });
      expect(await settle('ack', many(1))).to.deep.equal(['invalid']);
      expect(await settle('reject', many(1_000))).to.have.length(1_000);
      for (const wrong of [
        undefined,
        '',
        {},
        [],
        { ack_ids: null },
        { ack_ids: 'x' },
        { ack_ids: [1] },
        many(0),
        many(1_001),
        { ...many(1), delay: -1 },
        { ...many(1), delay: 86_401 },
        { ...many(1), delay: '1' },
        { ...many(1), reason: 1 },
        { ...many(1), reason: 'x'.repeat(1_001) },
      ]) {
        for (const path of ['ack', 'reject']) {
          const { status, json } = await world.ask(`/pubsub/messages/${path}`, wrong);
          expect([JSON.stringify(wrong)?.slice(0, 80), status]).to.deep.equal([
            JSON.stringify(wrong)?.slice(0, 80),
            400,
          ]);
          expect(json.is_ok).to.equal(false);
        }
      }
      const edge = { ...many(1), delay: 86_400, reason: 'x'.repeat(1_000) };
      expect(await settle('reject', edge)).to.deep.equal(['invalid']);
    });

    it('lets nobody settle the messages of others', async () => {
      await served();
      await publishAll(1);
      const ids = ackIds(await got({ ack: 'manual' }));
      for (const [user, status] of [
        ['user.2', 401],
        ['user.3', 401],
        [null, 401],
      ] as const) {
        const answer = await world.ask('/pubsub/messages/ack', { ack_ids: ids }, { user });
        expect(answer.status).to.equal(status);
      }
      expect(await leased()).to.equal(1);
    });
  });

  describe('subscribe and unsubscribe', () => {
    it('answer as Zato 4.1 did, and change what the queue gets', async () => {
      await served({ topics: ['demo.2'] });
      await world.publish({ data: 'before' });
      const subscribed = await world.ask('/pubsub/subscribe/topic/Demo.1');
      expect(subscribed.text).to.equal(
        `{"is_ok":true,"cid":"${subscribed.json.cid}","sub_key":"${world.subKey}","status":"200 OK"}`,
      );
      expect(subscribed.json.sub_key).to.match(/^sk[0-9a-f]{32}$/);
      await world.publish({ data: 'after' });
      expect((await got()).map(({ data }) => data)).to.deep.equal(['after']);
      const unsubscribed = await world.ask('/pubsub/unsubscribe/topic/demo.1');
      expect(unsubscribed.text).to.equal(
        `{"is_ok":true,"cid":"${unsubscribed.json.cid}","status":"200 OK"}`,
      );
      await world.publish({ data: 'late' });
      expect(await got()).to.deep.equal([]);
      expect((await world.ask('/pubsub/subscribe/topic/demo.1')).status).to.equal(200);
    });

    it('are refused as publishing is', async () => {
      await served();
      for (const [path, user, status, details] of [
        ['subscribe/topic/demo.1', null, 401, 'Authentication required'],
        ['subscribe/topic/demo.1', 'user.3', 401, 'Invalid credentials'],
        ['subscribe/topic/off', 'user.1', 401, 'Permission denied'],
        ['unsubscribe/topic/off', 'user.1', 401, 'Permission denied'],
        ['subscribe/topic/gone', 'user.1', 403, 'Topic gone is inactive'],
        [
          'subscribe/topic/%20',
          'user.1',
          400,
          'Topic name cannot begin or end with whitespace: ` `',
        ],
        [
          'unsubscribe/topic/%20',
          'user.1',
          400,
          'Topic name cannot begin or end with whitespace: ` `',
        ],
      ] as const) {
        const answer = await world.ask(`/pubsub/${path}`, undefined, { user });
        expect([path, answer.status, answer.json.details]).to.deep.equal([path, status, details]);
      }
      expect((await world.ask('/pubsub/subscribe/topic/a%23')).status).to.equal(404);
      expect(
        (await world.ask('/pubsub/subscribe/topic/demo.1', '', { method: 'GET' })).status,
      ).to.equal(405);
    });

    it('are unknown URLs when they are switched off', async () => {
      await served({ subscribeEnabled: false });
      for (const path of ['/pubsub/subscribe/topic/demo.1', '/pubsub/unsubscribe/topic/demo.1']) {
        const { status, text } = await world.ask(path);
        expect([status, text.slice(0, 13)]).to.deep.equal([404, 'URL not found']);
      }
    });
  });
});

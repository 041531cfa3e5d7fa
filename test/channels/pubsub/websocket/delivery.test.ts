import { randomBytes } from 'node:crypto';
import { expect } from 'chai';
import { zato3Id } from '../../../../runtime/pubsub/message-id.ts';
import { startRedis, type TestRedis } from '../../../support/redis.ts';
import { until } from '../../../support/until.ts';
import {
  admitAll,
  ask,
  askText,
  Client,
  type Item,
  items,
  itemsOf,
  keyOf,
  respond,
  resume,
  stopAll,
  subscribe,
  topic,
  type Worker,
  worker,
} from './fixture.ts';

const publishService = 'zato.pubsub.pubapi.publish-message';
const subscribeService = 'zato.pubsub.pubapi.subscribe-wsx';
const unsubscribeService = 'zato.pubsub.pubapi.unsubscribe';

describe('Publish/subscribe over WebSockets', () => {
  let redis: TestRedis;
  let namespace: string;

  before(async () => {
    redis = await startRedis();
  });

  beforeEach(() => {
    namespace = `w${randomBytes(6).toString('hex')}`;
  });

  afterEach(stopAll);

  after(() => redis.stop());

  const empty = (one: Worker, subKey: string) => () =>
    one.depth(subKey).then(({ waiting, leased }) => waiting + leased === 0);

  describe('the gateway', () => {
    it('publishes, subscribes and delivers with the keys and ids of Zato 3.2', async () => {
      const one = await worker(redis, namespace);
      const client = await Client.loggedIn(one);
      const subKey = await subscribe(client);
      expect(subKey).to.match(/^zpsk\.websockets\.[0-9a-f]{24}$/);

      const published = await ask(client, publishService, {
        topic_name: topic,
        data: { a: 1 },
        priority: 7,
        expiration: 60,
        correl_id: 'c-1',
        in_reply_to: 'q-1',
        ext_client_id: 'x-1',
      });

      const { msg_id: msgId } = published.data as { msg_id: string };
      expect(msgId).to.match(/^zpsm[0-9a-f]{24}$/);
      const frame = await client.next();
      expect(frame.meta).to.have.all.keys('id', 'timestamp', 'msg_type');
      expect(frame.meta).to.include({ id: msgId, msg_type: 'zwsx.psrq' });
      expect(frame.meta.timestamp).to.match(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}$/);
      const time = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}$/;
      const { pub_time_iso, recv_time_iso, expiration_time_iso, ...facts } = frame.data as Record<
        string,
        unknown
      >;
      for (const each of [pub_time_iso, recv_time_iso, expiration_time_iso]) {
        expect(each).to.match(time);
      }
      expect(facts).to.deep.equal({
        data: { a: 1 },
        msg_id: msgId,
        topic_name: topic,
        sub_key: subKey,
        delivery_count: 1,
        priority: 7,
        expiration: 60,
        mime_type: 'application/json',
        size: 7,
        correl_id: 'c-1',
        in_reply_to: 'q-1',
        ext_client_id: 'x-1',
      });
      await until(empty(one, subKey));
    });

    it('keeps the digits of big integers, both ways', async () => {
      const one = await worker(redis, namespace);
      const client = await Client.loggedIn(one);
      await subscribe(client);
      const texts: string[] = [];
      client.socket.on('message', (bytes) => texts.push(String(bytes)));

      const data = '{"n":12345678901234567890123,"z":-0}';
      await askText(client, publishService, `{"topic_name":"${topic}","data":${data}}`);

      const text = await until(() => texts.find((each) => each.includes('zwsx.psrq')));
      expect(text).to.include(`"data":${data}`);
    });

    it('takes text of another type as what it is', async () => {
      const one = await worker(redis, namespace);
      const client = await Client.loggedIn(one);
      await subscribe(client);
      const request = { topic_name: topic, data: '<zażółć/>', mime_type: 'text/xml' };
      await ask(client, publishService, request);
      const [item] = await items(client, 1);
      expect(item).to.include({ data: '<zażółć/>', mime_type: 'text/xml', size: 13 });
    });

    it('gives one key for a topic, however often and at once a client subscribes', async () => {
      const one = await worker(redis, namespace);
      const client = await Client.loggedIn(one);
      const ids = [1, 2, 3].map(() =>
        client.send(
          'invoke-service',
          {},
          {
            service: subscribeService,
            request: { topic_name: topic.toUpperCase() },
          },
        ),
      );
      const frames = [await client.next(), await client.next(), await client.next()];
      const keys = new Set(frames.map(keyOf));
      expect(ids).to.have.length(3);
      expect([...keys]).to.deep.equal([await subscribe(client)]);
      expect(one.door.size).to.equal(1);
    });

    it('ends a subscription by key or by topic, once and for all', async () => {
      const one = await worker(redis, namespace);
      const client = await Client.loggedIn(one);
      const first = await subscribe(client);
      const byKey = await ask(client, unsubscribeService, { sub_key: first });
      expect(byKey.meta.status).to.equal(200);
      expect(byKey).not.to.have.property('data');
      const second = await subscribe(client);
      expect(second).not.to.equal(first);
      await ask(client, unsubscribeService, { topic_name: topic });
      const again = await ask(client, unsubscribeService, { topic_name: topic });
      expect(again.meta.status).to.equal(200);
      expect(one.parties.broker.broker.subscriptions()).to.deep.equal([]);
      expect(
        (await one.parties.broker.broker.publish({ topic, data: '1', cid: 'c' })).queues,
      ).to.equal(0);
      expect(one.door.size).to.equal(0);
    });

    it('lets nobody have the subscription of another endpoint', async () => {
      const one = await worker(redis, namespace);
      await admitAll(one);
      const crm = await Client.loggedIn(one, '/crm', { username: 'crm', secret: 'password' });
      const erp = await Client.loggedIn(one, '/erp', { username: 'erp', secret: 'password' });
      const subKey = await subscribe(crm);
      expect((await resume(erp, subKey)).meta.status).to.equal(403);
      const frame = await ask(erp, unsubscribeService, { sub_key: subKey });
      expect(frame.meta.status).to.equal(403);
      await one.publish('still');
      expect(await items(crm, 1)).to.have.length(1);
    });

    it('resumes no queue of another kind', async () => {
      const one = await worker(redis, namespace);
      await admitAll(one);
      const crm = await Client.loggedIn(one, '/crm', { username: 'crm', secret: 'password' });
      const { subKey } = await one.parties.endpointBroker.subscribe(topic, 'CRM');
      expect((await resume(crm, subKey)).meta.status).to.equal(404);
    });

    it('gives a client 100 subscriptions and no more', async () => {
      const one = await worker(redis, namespace);
      const client = await Client.loggedIn(one);
      for (let n = 0; n < 101; n++) one.parties.topics.set(`/customer/t${n}`, { enabled: true });
      const request = (n: number) => ({ topic_name: `/customer/t${n}` });
      for (let n = 0; n < 100; n++) keyOf(await ask(client, subscribeService, request(n)));
      const frame = await ask(client, subscribeService, request(100));
      expect(frame.meta.status).to.equal(429);
    });
  });

  describe('delivery', () => {
    it('sends what has come together as one list, highest priority first', async () => {
      const one = await worker(redis, namespace);
      const client = await Client.loggedIn(one);
      const subKey = await subscribe(client, { unsub_on_wsx_close: false });
      await client.close();
      await until(() => one.door.size === 0);
      for (const priority of [1, 9, 5]) await one.publish(priority, { priority });

      const later = await Client.loggedIn(one);
      expect((await resume(later, subKey)).meta.status).to.equal(200);
      const frame = await later.next();
      expect(frame.meta.id).to.match(/^[0-9a-f]{32}$/);
      expect(itemsOf(frame).map(({ data }) => data)).to.deep.equal([9, 5, 1]);
      await until(empty(one, subKey));
    });

    it('sends a message that is larger than a frame should be, alone', async () => {
      const one = await worker(redis, namespace, { limits: { maxBatchBytes: 1_000 } });
      const client = await Client.loggedIn(one);
      const subKey = await subscribe(client, { unsub_on_wsx_close: false });
      await client.close();
      await until(() => one.door.size === 0);
      const sizes = [10, 1_000, 5_000, 998, 10];
      for (const size of sizes) await one.publish('x'.repeat(size));

      const later = await Client.loggedIn(one);
      await resume(later, subKey);
      const got = await items(later, sizes.length);
      expect(got.map(({ data }) => String(data).length)).to.deep.equal(sizes);
    });

    it('delivers to this.pubsub’s subscriber, and resumes for it', async () => {
      const one = await worker(redis, namespace, {
        service: async ({ parties, door }, call) => {
          const port = { pubsub: parties.pubsub };
          expect(port).to.have.property('pubsub');
          if (!call.wsx) throw new Error('no client');
          const { key } = call.input as { key?: string };
          if (key === undefined) return door.subscribe(call.wsx, topic, { unsubOnClose: false });
          await door.resume(call.wsx, key);
          return 'resumed';
        },
      });
      one.parties.define({ service: { subscribe: ['/customer/*'] } });
      const client = await Client.loggedIn(one, '/service');
      const { data: key } = await client.invoke({});
      await one.publish(1);
      expect((await items(client, 1))[0]).to.include({ data: 1, sub_key: key });
      await client.close();
      await until(() => one.door.size === 0);
      await one.publish(2);
      const later = await Client.loggedIn(one, '/service');
      expect((await later.invoke({ key })).data).to.equal('resumed');
      expect((await items(later, 1))[0]).to.include({ data: 2, delivery_count: 1 });
    });

    it('F52: gives no more to who may no longer subscribe', async () => {
      const one = await worker(redis, namespace);
      await admitAll(one);
      const client = await Client.loggedIn(one, '/crm', { username: 'crm', secret: 'password' });
      const subKey = await subscribe(client);
      one.parties.define({ CRM: { security: 'crm', publish: [topic], subscribe: [] } });
      await one.publish('secret');
      const { broker } = one.parties.broker;
      await until(async () => (await broker.depth([subKey]))[0]?.dead === 1);
      expect(client.frames).to.deep.equal([]);
    });

    it('F54: what was not sent when the client went comes again, to who resumes', async () => {
      const one = await worker(redis, namespace, { limits: { graceMs: 50 } });
      const client = await Client.loggedIn(one);
      const subKey = await subscribe(client, { unsub_on_wsx_close: false });
      client.socket.pause();
      const count = 300;
      const data = 'x'.repeat(20_000);
      for (let n = 0; n < count; n++) await one.publish({ n, data });
      await until(async () => (await one.depth(subKey)).leased > 0);
      client.socket.terminate();
      await until(() => one.door.size === 0);
      await until(async () => (await one.depth(subKey)).leased === 0);
      const { waiting } = await one.depth(subKey);
      expect(waiting).to.be.greaterThan(0);

      const later = await Client.loggedIn(one);
      await resume(later, subKey);
      const got = await items(later, waiting);
      const again = got.filter(({ delivery_count: times }) => times > 1);
      expect(new Set(got.map(({ msg_id: id }) => id)).size).to.equal(waiting);
      expect(again.length).to.be.greaterThan(0);
      const numbers = got.map((item) => (item.data as { n: number }).n);
      expect(Math.max(...numbers)).to.equal(count - 1);
    });

    it('F55: stops at the limit of what is buffered for a reader that does not read, and closes 1013', async () => {
      const maxBufferedBytes = 1_048_576;
      const one = await worker(redis, namespace, {
        limits: { stallMs: 700, graceMs: 50 },
        sockets: { maxBufferedBytes, stallMs: 700 },
      });
      const client = await Client.loggedIn(one);
      const subKey = await subscribe(client, { unsub_on_wsx_close: false });
      client.socket.pause();
      const [session] = one.sessions;
      let most = 0;
      const data = 'x'.repeat(50_000);
      await Promise.all(Array.from({ length: 600 }, (_, n) => one.publish({ n, data })));
      let closed = false;
      session?.onClose((code) => {
        expect(code).to.equal(1013);
        closed = true;
      });
      await until(() => {
        most = Math.max(most, session?.bufferedAmount ?? 0);
        return closed;
      });
      expect(most)
        .to.be.greaterThan(maxBufferedBytes / 4)
        .and.at.most(maxBufferedBytes);
      client.socket.resume();
      expect((await client.closed).code).to.equal(1013);
      const early = client.frames.splice(0).flatMap(itemsOf);

      const later = await Client.loggedIn(one);
      await resume(later, subKey);
      const seen = new Set(early.map(numberOf));
      await until(async () => {
        for (const frame of later.frames.splice(0))
          for (const item of itemsOf(frame)) seen.add(numberOf(item));
        return seen.size === 600;
      });
    });

    it('F55: a reader that stalls below the limit is closed too, its message kept', async () => {
      const one = await worker(redis, namespace, {
        limits: { stallMs: 400, graceMs: 50 },
        sockets: { maxBufferedBytes: 64 * 1_048_576, stallMs: 60_000 },
      });
      const client = await Client.loggedIn(one);
      const subKey = await subscribe(client, { unsub_on_wsx_close: false });
      client.socket.pause();
      const data = 'x'.repeat(100_000);
      await Promise.all(Array.from({ length: 100 }, () => one.publish(data)));
      const [session] = one.sessions;
      await until(() => session?.open === false);
      await until(async () => (await one.depth(subKey)).leased === 0);
      expect((await one.depth(subKey)).waiting).to.be.greaterThan(0);
    });

    it('goes on when Redis was away', async () => {
      const own = await startRedis({ args: ['--appendonly', 'yes', '--appendfsync', 'always'] });
      try {
        const one = await worker(own, namespace);
        const client = await Client.loggedIn(one);
        await subscribe(client);
        await one.publish(1);
        expect(await items(client, 1)).to.have.length(1);
        await own.restart();
        await until(() => one.publish(2).catch(() => undefined));
        const got = await items(client, 1);
        expect(got[0]?.data).to.equal(2);
        await stopAll();
      } finally {
        await own.stop();
      }
    });
  });

  describe('a client that acknowledges', () => {
    const ack = { ack: 'client' };

    it('keeps its message until it has answered', async () => {
      const one = await worker(redis, namespace);
      const client = await Client.loggedIn(one);
      const subKey = await subscribe(client, ack);
      const id = zato3Id(await one.publish('a'));
      const frame = await client.next();
      expect(frame.meta.id).to.equal(id);
      expect(await one.depth(subKey)).to.deep.equal({ waiting: 0, leased: 1 });
      respond(client, id);
      await until(empty(one, subKey));
    });

    it('answers a list by its frame, or by the ids in it', async () => {
      const one = await worker(redis, namespace);
      const first = await Client.loggedIn(one);
      const subKey = await subscribe(first, { ...ack, unsub_on_wsx_close: false });
      await first.close();
      await until(() => one.door.size === 0);
      for (let n = 0; n < 4; n++) await one.publish(n);
      const client = await Client.loggedIn(one);
      await resume(client, subKey);
      const frame = await client.next();
      const [a, b] = itemsOf(frame);
      respond(client, a?.msg_id ?? '');
      respond(client, b?.msg_id ?? '');
      await until(async () => (await one.depth(subKey)).leased === 2);
      respond(client, frame.meta.id);
      await until(empty(one, subKey));
    });

    it('gets it again, flagged, after the lease', async () => {
      const one = await worker(redis, namespace, { limits: { leaseMs: 300 } });
      const client = await Client.loggedIn(one);
      const subKey = await subscribe(client, ack);
      await one.publish('a');
      const got = await items(client, 2);
      expect(got.map(({ delivery_count: times }) => times)).to.deep.equal([1, 2]);
      respond(client, got[1]?.msg_id ?? '');
      await until(empty(one, subKey));
    });

    it('gets at once again what it refuses', async () => {
      const one = await worker(redis, namespace);
      const client = await Client.loggedIn(one);
      const subKey = await subscribe(client, ack);
      await one.publish('a');
      const [first] = await items(client, 1);
      respond(client, first?.msg_id ?? '', { ack: false });
      const [second] = await items(client, 1);
      expect(second).to.include({ msg_id: first?.msg_id, delivery_count: 2 });
      respond(client, second?.msg_id ?? '');
      await until(empty(one, subKey));
    });

    it('has no more than its window at a time, and the next when it answers', async () => {
      const one = await worker(redis, namespace, { limits: { window: 3 } });
      const client = await Client.loggedIn(one);
      const subKey = await subscribe(client, ack);
      for (let n = 0; n < 10; n++) await one.publish(n);
      const got = await items(client, 3);
      for (let n = 3; n < 10; n++) {
        expect(client.frames).to.deep.equal([]);
        expect((await one.depth(subKey)).waiting).to.equal(10 - n);
        respond(client, got[n - 3]?.msg_id ?? '');
        got.push(...(await items(client, 1)));
      }
      for (const { msg_id: id } of got.slice(-3)) respond(client, id);
      await until(empty(one, subKey));
      expect(got.map(({ data }) => data)).to.deep.equal([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    });

    it('F54: gets again what it had not answered when it went', async () => {
      const one = await worker(redis, namespace);
      const client = await Client.loggedIn(one);
      const subKey = await subscribe(client, { ...ack, unsub_on_wsx_close: false });
      await one.publish('a');
      await items(client, 1);
      client.socket.terminate();
      const later = await Client.loggedIn(one);
      await resume(later, subKey);
      const [item] = await items(later, 1);
      expect(item?.delivery_count).to.equal(2);
      respond(later, item?.msg_id ?? '');
      await until(empty(one, subKey));
    });
  });

  describe('the end of a connection', () => {
    it('ends the subscription, its queue and its marks', async () => {
      const one = await worker(redis, namespace);
      const client = await Client.loggedIn(one);
      const subKey = await subscribe(client);
      await one.publish(1);
      await items(client, 1);
      await client.close();
      const { redis: commands, broker } = one.parties.broker;
      await until(() => broker.subscriptions().length === 0);
      await until(async () => (await commands.exists(`{${namespace}}:ps:held`)) === 0);
      expect(await commands.keys(`{${namespace}}:q:${subKey}:*`)).to.deep.equal([]);
      expect(await commands.hkeys(`{${namespace}}:ps:waiters`)).to.deep.equal([]);
    });

    it('keeps it where that was asked, for another worker to go on with', async () => {
      const one = await worker(redis, namespace);
      const other = await worker(redis, namespace);
      const client = await Client.loggedIn(one);
      const subKey = await subscribe(client, { unsub_on_wsx_close: 'false' });
      await one.publish(1);
      await items(client, 1);
      await client.close();
      await one.publish(2);
      const there = await Client.loggedIn(other);
      await resume(there, subKey);
      expect(await items(there, 1)).to.have.nested.property('[0].data', 2);
      await one.publish(3);
      expect(await items(there, 1)).to.have.nested.property('[0].data', 3);
    });

    it('a client that goes while it is subscribed leaves nothing', async () => {
      const one = await worker(redis, namespace);
      for (let n = 0; n < 20; n++) {
        const client = await Client.loggedIn(one);
        client.send(
          'invoke-service',
          {},
          { service: subscribeService, request: { topic_name: topic } },
        );
        if (n % 2 === 0) await new Promise((resolve) => setImmediate(resolve));
        client.socket.terminate();
        await client.closed;
      }
      const { redis: commands, broker } = one.parties.broker;
      await until(async () => {
        await broker.refresh();
        return broker.subscriptions().length === 0 && one.door.size === 0;
      });
      await until(async () => (await commands.exists(`{${namespace}}:ps:held`)) === 0);
    });

    it('of two that resume the same key the newest has it, on one worker or two', async () => {
      const one = await worker(redis, namespace);
      const other = await worker(redis, namespace);
      const clients = [
        await Client.loggedIn(one),
        await Client.loggedIn(one),
        await Client.loggedIn(other),
        await Client.loggedIn(one),
      ];
      const subKey = await subscribe(clients[0] as Client, { unsub_on_wsx_close: false });
      await one.publish('first');
      expect(await items(clients[0] as Client, 1)).to.have.length(1);
      for (const [at, client] of clients.slice(1).entries()) {
        expect((await resume(client, subKey)).meta.status).to.equal(200);
        for (let n = 0; n < 20; n++) await one.publish(`${at} ${n}`);
        const got = await items(client, 20);
        expect(got.map(({ data }) => data)).to.deep.equal(
          Array.from({ length: 20 }, (_, n) => `${at} ${n}`),
        );
      }
      expect(clients.map(({ frames }) => frames.length)).to.deep.equal([0, 0, 0, 0]);
      await one.publish('last');
      expect(await items(clients[3] as Client, 1)).to.have.length(1);
      // The one before hears of it when it reads the next time.
      await until(() => one.door.size + other.door.size === 1);
    });

    it('an old connection that goes takes nothing from the newest', async () => {
      const one = await worker(redis, namespace);
      const other = await worker(redis, namespace);
      const old = await Client.loggedIn(one);
      const subKey = await subscribe(old);
      const newest = await Client.loggedIn(other);
      await resume(newest, subKey);
      await old.close();
      await until(() => one.door.size === 0);
      await one.publish(1);
      expect(await items(newest, 1)).to.have.nested.property('[0].data', 1);
      await newest.close();
      const { broker } = one.parties.broker;
      await until(async () => {
        await broker.refresh();
        return broker.subscriptions().length === 0;
      });
    });

    it('many that fight for one key lose nothing', async () => {
      const workers = [await worker(redis, namespace), await worker(redis, namespace)];
      const [one] = workers as [Worker, Worker];
      const first = await Client.loggedIn(one);
      const subKey = await subscribe(first, { unsub_on_wsx_close: false });
      const clients = [first];
      const count = 400;
      const publishing = (async () => {
        for (let n = 0; n < count; n++) await one.publish(n);
      })();
      for (let n = 0; n < 12; n++) {
        const client = await Client.loggedIn(workers[n % 2] as Worker);
        clients.push(client);
        await resume(client, subKey);
      }
      await publishing;
      const seen = () =>
        new Set(clients.flatMap(({ frames }) => frames.flatMap(itemsOf)).map(({ data }) => data));
      await until(() => seen().size === count);
    });

    it('ends what a dead worker left, and keeps what was to be kept', async () => {
      const deadMs = 600;
      const one = await worker(redis, namespace, { deadMs });
      const other = await worker(redis, namespace, { deadMs });
      const [ends, stays] = [await Client.loggedIn(one), await Client.loggedIn(one)];
      const ended = await subscribe(ends);
      const kept = await subscribe(stays, { unsub_on_wsx_close: false });
      // As dead as a process can be in a test of one: nothing of it reaches Redis any more.
      one.parties.broker.redis.disconnect();
      const { broker, redis: commands } = other.parties.broker;
      await until(async () => {
        const keys = broker.subscriptions().map(({ subKey }) => subKey);
        return keys.length === 1 && keys[0] === kept;
      });
      expect(await commands.keys(`{${namespace}}:q:${ended}:*`)).to.deep.equal([]);
      await until(async () => (await commands.exists(`{${namespace}}:ps:held`)) === 0);
    });

    it('a worker that was only slow goes on with what is still there, and closes what is not', async () => {
      const deadMs = 600;
      const one = await worker(redis, namespace, { deadMs });
      const [ends, stays] = [await Client.loggedIn(one), await Client.loggedIn(one)];
      const ended = await subscribe(ends);
      const kept = await subscribe(stays, { unsub_on_wsx_close: false });
      const { broker, redis: commands } = one.parties.broker;
      await commands.del(`{${namespace}}:ps:held`);
      await broker.unsubscribe(ended);
      expect((await ends.closed).code).to.equal(1013);
      await one.publish(1);
      expect((await items(stays, 1))[0]).to.include({ data: 1, sub_key: kept });
      await until(async () => (await commands.hkeys(`{${namespace}}:ps:held`)).includes(kept));
    });

    it('a refused ending is tried again', async () => {
      let failures = 2;
      const one = await worker(redis, namespace, {
        deadMs: 300,
        broker: (real) =>
          Object.create(real, {
            unsubscribe: {
              value: async (subKey: string) => {
                if (failures-- > 0) throw new Error('not now');
                return real.unsubscribe(subKey);
              },
            },
            refresh: { value: () => real.refresh() },
            subscriptions: { value: () => real.subscriptions() },
            take: { value: (...args: Parameters<typeof real.take>) => real.take(...args) },
            reject: { value: (...args: Parameters<typeof real.reject>) => real.reject(...args) },
          }),
      });
      const client = await Client.loggedIn(one);
      await subscribe(client);
      await client.close();
      const { broker } = one.parties.broker;
      await until(() => broker.subscriptions().length === 0);
      expect(failures).to.equal(-1);
    });
  });
});

function numberOf({ data }: Item): number {
  return (data as { n: number }).n;
}

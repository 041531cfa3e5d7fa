import { once } from 'node:events';
import { type ClientRequest, request } from 'node:http';
import { expect } from 'chai';
import type { Page } from '../../runtime/admin/api.ts';
import type {
  JourneyView,
  MessageView,
  PublishReply,
  QueuedView,
  QueueView,
} from '../../runtime/admin/message-api.ts';
import { until } from '../support/until.ts';
import { MessageBench, type Reply } from './message-bench.ts';

describe('Messages in the admin API', () => {
  let bench: MessageBench;

  before(async () => {
    bench = await MessageBench.open();
  });
  after(() => bench.close());
  beforeEach(async () => {
    await bench.clear();
    bench.subscribe({ billing: { topics: ['orders.*'] }, audit: { topics: ['**'] } });
  });

  const post = (path: string, body: unknown = {}) => bench.ask('POST', path, body);
  const get = (path: string) => bench.ask('GET', path);
  const depth = async (name: string) => (await get(`/api/queues/${name}`)).json<QueueView>();
  const browse = async (query: string) =>
    (await get(`/api/queues/billing/messages${query}`)).json<Page<QueuedView>>();

  function errorOf(reply: Reply): { readonly code: string; readonly message: string } {
    return reply.json<{ error: { code: string; message: string } }>().error;
  }

  describe('publishing', () => {
    it('keeps the data exactly as it is written, numbers of any size too', async () => {
      const data = '{ "id": 12345678901234567890, "x": 1e400, "y": -0, "s": "\\ud800" }';
      const reply = await post('/api/messages', `{"topic":"Orders.New","data": ${data} }`);
      expect(reply.status).to.equal(200);
      const { msgId, queues, cid, duplicate } = reply.json<PublishReply>();
      expect({ queues, duplicate }).to.deep.equal({ queues: 2, duplicate: false });
      expect(cid).to.match(/^[0-9a-f]{32}$/);
      const shown = await get(`/api/messages/${msgId}`);
      expect(shown.text).to.contain(`"data":${data}`);
      const view = shown.json<MessageView>();
      expect(view).to.deep.include({
        topic: 'orders.new',
        publisher: 'operator',
        contentType: 'application/json',
        priority: 5,
        size: Buffer.byteLength(data),
      });
      expect(view).to.not.have.any.keys('text', 'base64');
      expect(view.standings?.map((one) => `${one.subscription} ${one.state}`).sort()).to.deep.equal(
        ['audit waiting', 'billing waiting'],
      );
    });

    it('takes text and any bytes too, each by its own name', async () => {
      const sent = [
        { text: 'a\u0000b', expected: ['text/plain', 'a\u0000b'] },
        { text: '<a/>', contentType: 'application/xml', expected: ['application/xml', '<a/>'] },
        { base64: '/wA=', expected: ['application/octet-stream', '/wA='] },
        { base64: 'aGk=', expected: ['application/octet-stream', 'hi'] },
      ] as const;
      for (const { expected, ...body } of sent) {
        const { msgId } = (
          await post('/api/messages', { topic: 't', ...body })
        ).json<PublishReply>();
        const view = (await get(`/api/messages/${msgId}`)).json<MessageView>();
        expect([view.contentType, view.text ?? view.base64]).to.deep.equal(expected);
      }
    });

    it('gives what claims to be JSON and is not as text', async () => {
      const body = { topic: 't', text: '{broken', contentType: 'application/json' };
      const { msgId } = (await post('/api/messages', body)).json<PublishReply>();
      const view = (await get(`/api/messages/${msgId}`)).json<MessageView>();
      expect(view).to.include({ text: '{broken', contentType: 'application/json' });
    });

    it('passes on what is given, and takes the rest from the topic', async () => {
      bench.topics.set('t', { priority: 8, expirationMs: 60_000 });
      const given = {
        ...{ inReplyTo: 'm0', extClientId: 'x1', correlId: 'c9', cid: 'c1' },
        pubTime: '2026-01-01T00:00:00Z',
      };
      const first = (
        await post('/api/messages', { topic: 't', data: 1, ...given })
      ).json<PublishReply>();
      const view = (await get(`/api/messages/${first.msgId}`)).json<MessageView>();
      expect(view).to.include({ ...given, priority: 8, data: 1 });
      expect(Date.parse(view.expiresAt) - Date.parse(view.receivedAt)).to.be.closeTo(60_000, 1);
      const own = { topic: 't', data: null, priority: 0, expiration: '2h' };
      const second = (await post('/api/messages', own)).json<PublishReply>();
      const other = (await get(`/api/messages/${second.msgId}`)).json<MessageView>();
      expect(other).to.include({ priority: 0, data: null });
      expect(Date.parse(other.expiresAt) - Date.parse(other.receivedAt)).to.be.closeTo(
        7_200_000,
        1,
      );
    });

    it('knows a key again, and refuses it for other data', async () => {
      const body = { topic: 't', data: 1, idempotencyKey: 'k1' };
      const first = (await post('/api/messages', body)).json<PublishReply>();
      const again = (await post('/api/messages', body)).json<PublishReply>();
      expect(again).to.include({ msgId: first.msgId, duplicate: true });
      expect((await post('/api/messages', { ...body, data: 2 })).status).to.equal(409);
    });

    it('refuses what cannot be published, in words', async () => {
      bench.topics.set('off', { enabled: false });
      bench.topics.set('small', { maxSize: 3 });
      const refused: readonly (readonly [object | string, number, RegExp])[] = [
        [{ topic: 't' }, 400, /give one of "data", "text" and "base64"/],
        [{ topic: 't', data: 1, text: 'x' }, 400, /give one of/],
        [{ topic: '', data: 1 }, 400, /Topic name cannot be empty/],
        [{ topic: 'a#b', data: 1 }, 400, /"#"/],
        [{ topic: 't', data: 1, priority: 10 }, 400, /priority/],
        [{ topic: 't', data: 1, priority: '5' }, 400, /priority/],
        [{ topic: 't', data: 1, expiration: 'soon' }, 400, /Not a duration: "soon"/],
        [{ topic: 't', data: 1, cid: 'a b' }, 400, /cid/],
        [{ topic: 't', data: 1, delay: 5 }, 400, /delay/],
        [{ topic: 't', base64: '%' }, 400, /base64/],
        [{ topic: 'off', data: 1 }, 409, /Topic off is disabled/],
        [{ topic: 'small', data: 1234 }, 413, /4 bytes; at most 3/],
        ['{"topic":"t","data":{"a":1,"a":2}}', 400, /"a" twice/],
        ['{"topic":"t","data":{"__proto__":1}}', 400, /not valid JSON/],
        [`{"topic":"t","data":${'['.repeat(101)}${']'.repeat(101)}}`, 400, /deeper than 100/],
      ];
      for (const [body, status, message] of refused) {
        const reply = await post('/api/messages', body);
        expect(reply.status, JSON.stringify(body)).to.equal(status);
        expect(errorOf(reply).message).to.match(message);
      }
      expect(await depth('audit')).to.include({ waiting: 0 });
    });

    it('F78 takes data of exactly 8 MiB, and no byte more', async () => {
      const most = 8 * 1024 * 1024;
      const body = (size: number) => ({ topic: 't', text: 'x'.repeat(size) });
      expect((await post('/api/messages', body(most))).status).to.equal(200);
      expect((await post('/api/messages', body(most + 1))).status).to.equal(413);
    });
  });

  describe('queues', () => {
    it('are listed by name with their depths, those made by programs too', async () => {
      await bench.broker.subscribe({
        ...{ subKey: 'zato.service.mail', topics: ['zato.s.to.mail'] },
        ...{ push: true, facts: {} },
      });
      await bench.publish('orders.new', 1);
      await bench.kill('sk-billing', 'no');
      const sent = await bench.publish('orders.new', 2);
      const page = (await get('/api/queues?limit=2')).json<Page<QueueView>>();
      expect(page).to.include({ total: 3, after: 'billing' });
      expect(page.items[0]).to.deep.include({ subscription: 'audit', waiting: 2, dead: 0 });
      expect(page.items[1]).to.deep.equal({
        ...{ subscription: 'billing', subKey: 'sk-billing', topics: ['orders.*'] },
        ...{ delivery: 'pull', enabled: true, paused: false },
        ...{ waiting: 1, leased: 0, delayed: 0, dead: 1 },
        oldestAt: page.items[1]?.oldestAt,
      });
      const oldestAt = Date.parse(page.items[1]?.oldestAt ?? '');
      expect(oldestAt).to.be.closeTo(sent.receivedAt, 1);
      const rest = (await get('/api/queues?limit=2&after=billing')).json<Page<QueueView>>();
      expect(rest.items).to.have.length(1);
      expect(rest.items[0]).to.include({ subscription: 'zato.service.mail', delivery: 'push' });
    });

    it('are found by the name, by the subKey and by a topic', async () => {
      expect(await depth('billing')).to.deep.equal(await depth('sk-billing'));
      const reply = await get('/api/queues/nobody');
      expect([reply.status, errorOf(reply).message]).to.deep.equal([
        404,
        'No such subscription: nobody',
      ]);
      const names = async (topic: string) =>
        (await get(`/api/queues?topic=${topic}`))
          .json<Page<QueueView>>()
          .items.map(({ subscription }) => subscription);
      expect(await names('Orders.new')).to.deep.equal(['audit', 'billing']);
      expect(await names('other')).to.deep.equal(['audit']);
    });
  });

  describe('browsing', () => {
    it('goes through every state page by page, and consumes nothing', async () => {
      const ids: string[] = [];
      for (let at = 0; at < 7; at++) ids.push((await bench.publish('orders.new', at)).msgId);
      const [dead, leased, delayed] = await bench.broker.take('sk-billing', { max: 3 });
      if (!dead || !leased || !delayed) throw new Error('Nothing was taken');
      await bench.broker.reject('sk-billing', [
        { ...dead, dead: 'rejected', reason: 'card refused', version: '3' },
        { ...delayed, delayMs: 60_000, reason: 'try later' },
      ]);
      const seen: string[] = [];
      let after = '';
      do {
        const page = await browse(`?limit=2${after}`);
        expect(page.total).to.equal(7);
        expect(page.items.length).to.be.at.most(2);
        seen.push(...page.items.map(({ msgId, state }) => `${state} ${ids.indexOf(msgId)}`));
        after = page.after === undefined ? '' : `&after=${page.after}`;
      } while (after !== '');
      const waiting = ['waiting 3', 'waiting 4', 'waiting 5', 'waiting 6'];
      expect(seen).to.deep.equal([...waiting, 'leased 1', 'delayed 2', 'dead 0']);
      expect(await depth('billing')).to.include({ waiting: 4, leased: 1, delayed: 1, dead: 1 });
      const letters = await browse('?state=dead');
      expect(letters).to.include({ total: 1 }).and.to.not.have.property('after');
      expect(letters.items[0]).to.deep.include({
        ...{ state: 'dead', reason: 'rejected', lastError: 'card refused', version: '3' },
        ...{ deliveries: 1, topic: 'orders.new', cid: 'cid-1', size: 1, preview: '0' },
      });
      expect((await browse('?state=delayed')).items[0]?.at).to.match(/^20.*Z$/);
    });

    it('finds the messages of one topic among others', async () => {
      for (let at = 0; at < 20; at++) await bench.publish(at % 5 ? 'orders.new' : 'orders.old', at);
      const page = await browse('?topic=Orders.Old');
      expect(page.items.map(({ preview }) => preview)).to.deep.equal(['0', '5', '10', '15']);
    });

    it('shows 200 characters at most, none of them cut in two, and no raw bytes', async () => {
      const publish = (data: Buffer) =>
        bench.broker.publish({ topic: 'orders.new', data, cid: 'c', contentType: 'x/y' });
      await publish(Buffer.from('é'.repeat(200)));
      await publish(Buffer.from('😀'.repeat(300)));
      await publish(Buffer.from([0xff, 0x00, 0x01]));
      const previews = (await browse('')).items.map(({ preview }) => preview);
      expect(previews).to.deep.equal(['é'.repeat(200), '😀'.repeat(100), '<3 bytes>']);
    });

    it('refuses a state, a place and a size that do not exist', async () => {
      for (const query of ['state=done', 'after=7', 'after=done:1', 'limit=0', 'limit=1001']) {
        expect((await get(`/api/queues/billing/messages?${query}`)).status, query).to.equal(400);
      }
    });

    it('says where to look when no queue holds a message', async () => {
      const id = 'zpsm.20260101-000000-0000-0123456789abcdeff';
      const reply = await get(`/api/messages/${id}`);
      expect([reply.status, errorOf(reply).message]).to.deep.equal([
        404,
        `No queue holds a message ${id}`,
      ]);
    });
  });

  describe('taking', () => {
    const take = (body: object) => post('/api/queues/billing/take', body);

    it('gives the data as it was published, and acknowledges what was written', async () => {
      const data = '[12345678901234567890]';
      await bench.broker.publish({ topic: 'orders.new', data, cid: 'c1', priority: 9 });
      await bench.publish('orders.new', 2);
      const reply = await take({ max: 1 });
      expect(reply.text).to.contain(`"data":${data}`);
      const page = reply.json<Page<MessageView>>();
      expect(page.total).to.equal(1);
      expect(page.items[0]).to.include({ cid: 'c1', priority: 9, deliveries: 1, failures: 0 });
      await until(async () => (await depth('billing')).leased === 0);
      expect(await depth('billing')).to.include({ waiting: 1, dead: 0 });
    });

    it('puts them back at once when they are not to be acknowledged', async () => {
      await bench.publish('orders.new', 1);
      expect((await take({ ack: false })).json<Page<MessageView>>().total).to.equal(1);
      expect(await depth('billing')).to.include({ waiting: 1, leased: 0 });
      const [item] = (await take({ ack: false })).json<Page<MessageView>>().items;
      expect(item).to.include({ deliveries: 2, failures: 0 });
    });

    it('waits for a message, and not longer than it was told', async () => {
      const waiting = take({ wait: '10s' });
      await until(() => bench.waits());
      await bench.publish('orders.new', 1);
      expect((await waiting).json<Page<MessageView>>().total).to.equal(1);
      expect((await take({ wait: '50ms' })).json<Page<MessageView>>()).to.deep.equal({
        items: [],
        total: 0,
      });
      expect((await take({ wait: '11m' })).status).to.equal(400);
      expect((await take({ max: 1_001 })).status).to.equal(400);
    });

    it('keeps within the bytes it was told', async () => {
      for (let at = 0; at < 5; at++) await bench.publish('orders.new', 'x'.repeat(10_000));
      const page = (await take({ maxBytes: 25_000 })).json<Page<MessageView>>();
      expect(page.items).to.have.length(2);
    });

    it('F53 gives a message again whose reader died while it was written', async () => {
      const data = JSON.stringify('x'.repeat(4 * 1024 * 1024));
      for (let at = 0; at < 4; at++) {
        await bench.broker.publish({ topic: 'orders.new', data, cid: 'c1' });
      }
      const reader = open('/api/queues/billing/take');
      const [reply] = await once(reader, 'response');
      reply.pause();
      expect(await depth('billing')).to.include({ waiting: 0, leased: 4 });
      reader.destroy();
      await until(async () => (await depth('billing')).waiting === 4);
      expect((await browse('')).items[0]).to.include({ deliveries: 1, failures: 0 });
    });

    it('takes nothing for a reader who left while he waited', async () => {
      const reader = open('/api/queues/billing/take', { wait: '30s' });
      const gone = new Promise((resolve) => reader.once('error', resolve));
      await until(() => bench.waits());
      reader.destroy();
      await gone;
      await bench.publish('orders.new', 1);
      await until(async () => {
        const { waiting, leased } = await depth('billing');
        return waiting === 1 && leased === 0;
      });
    });

    function open(path: string, body: object = {}): ClientRequest {
      const reader = request(`${bench.url}${path}`, {
        method: 'POST',
        headers: { authorization: `Bearer ${bench.token}` },
        agent: false,
      });
      reader.end(JSON.stringify(body));
      return reader;
    }
  });

  describe('removing', () => {
    it('takes single messages out of one queue, but not while they are delivered', async () => {
      const { msgId } = await bench.publish('orders.new', 1);
      const path = `/api/queues/billing/messages/${msgId}`;
      const [leased] = await bench.broker.take('sk-billing');
      const refused = await bench.ask('DELETE', path);
      expect([refused.status, errorOf(refused).code]).to.deep.equal([409, 'conflict']);
      if (leased) await bench.broker.reject('sk-billing', [leased]);
      expect((await bench.ask('DELETE', path)).status).to.equal(204);
      expect((await bench.ask('DELETE', path)).status).to.equal(404);
      expect(await depth('audit')).to.include({ waiting: 1 });
    });

    it('purges one state, or what is older', async () => {
      await bench.publish('orders.new', 1);
      await bench.kill('sk-billing', 'no');
      for (let at = 0; at < 3; at++) await bench.publish('orders.new', at);
      const purge = async (body: object) =>
        (await post('/api/queues/billing/purge', body)).json<{ purged: number }>().purged;
      expect(await purge({ state: 'waiting', olderThan: '1h' })).to.equal(0);
      expect(await purge({ state: 'waiting' })).to.equal(3);
      expect(await depth('billing')).to.include({ waiting: 0, dead: 1 });
      expect(await purge({ state: 'dead' })).to.equal(1);
      expect((await post('/api/queues/billing/purge', { state: 'leased' })).status).to.equal(400);
      expect((await post('/api/queues/billing/purge')).status).to.equal(400);
    });
  });

  describe('redriving', () => {
    const redrive = async (body: object = {}) =>
      (await post('/api/queues/billing/redrive', body)).json();

    beforeEach(async () => {
      for (let at = 0; at < 5; at++) await bench.publish('orders.new', at);
      await bench.kill('sk-billing', 'no');
    });

    it('puts back all, the oldest so many, or those named', async () => {
      expect(await redrive({ max: 2 })).to.deep.equal({ redriven: 2, trial: 'none', dead: 3 });
      expect((await browse('?state=waiting')).items.map(({ preview }) => preview)).to.deep.equal([
        '0',
        '1',
      ]);
      const last = (await browse('?state=dead')).items.at(-1);
      expect(await redrive({ msgIds: [last?.msgId] })).to.include({ redriven: 1, dead: 2 });
      expect(await redrive()).to.include({ redriven: 2, dead: 0 });
      const { items } = await browse('?state=waiting');
      expect(items.map(({ preview }) => preview)).to.deep.equal(['0', '1', '2', '3', '4']);
      expect(items[0]).to.include({ deliveries: 1, failures: 0 });
    });

    it('keeps the others dead when the trial fails, and says why', async () => {
      const trying = redrive({ trial: true });
      const [first] = await until(async () => {
        const taken = await bench.broker.take('sk-billing', { max: 5 });
        return taken.length > 0 && taken;
      });
      expect(await depth('billing')).to.include({ waiting: 0, leased: 1, dead: 4 });
      if (first) await bench.broker.reject('sk-billing', [{ ...first, reason: 'still no' }]);
      expect(await trying).to.deep.include({ trial: 'failed', error: 'still no', dead: 4 });
    });

    it('goes on once the trial was delivered', async () => {
      const trying = redrive({ trial: true, rate: 1_000 });
      const [first] = await until(async () => {
        const taken = await bench.broker.take('sk-billing');
        return taken.length > 0 && taken;
      });
      if (first) await bench.broker.ack('sk-billing', [first]);
      expect(await trying).to.deep.equal({ redriven: 5, trial: 'passed', dead: 0 });
    });
  });

  describe('a journey', () => {
    it('has its steps, and where its messages are now', async () => {
      const { msgId } = await bench.publish('orders.new', 1, { cid: 'c1' });
      const facts = { topic: 'orders.new', msgId, queues: 2 };
      bench.journey.note({ cid: 'c1', kind: 'publish', at: 1_700_000_000_000, ms: 2, facts });
      await bench.journey.flush();
      for (const id of ['c1', msgId]) {
        const view = (await get(`/api/journeys/${id}`)).json<JourneyView>();
        expect(view).to.include({ cid: 'c1', cut: false, dropped: 0 });
        expect(view.steps).to.deep.equal([
          {
            ...{ at: '2023-11-14T22:13:20.000Z', cid: 'c1', kind: 'publish', ms: 2 },
            ...{ place: 'test', facts },
          },
        ]);
        const now = view.standings.map((one) => `${one.subscription} ${one.state} ${one.msgId}`);
        expect(now.sort()).to.deep.equal([`audit waiting ${msgId}`, `billing waiting ${msgId}`]);
      }
    });

    it('is told by the message itself when nothing was noted', async () => {
      const { msgId } = await bench.publish('orders.new', 1, { cid: 'c7', publisher: 'shop' });
      const view = (await get(`/api/journeys/${msgId}`)).json<JourneyView>();
      expect(view.cid).to.equal('c7');
      const facts = { topic: 'orders.new', msgId, publisher: 'shop' };
      expect(view.steps[0]).to.deep.include({ kind: 'publish', facts });
      expect(view.standings).to.have.length(2);
    });

    it('says how much is kept when there is nothing', async () => {
      bench.journey.note({ cid: 'c1', kind: 'log', facts: { message: 'hello' } });
      await bench.journey.flush();
      const reply = await get('/api/journeys/nobody');
      expect(reply.status).to.equal(404);
      expect(errorOf(reply).message).to.match(
        /^Nothing is known of nobody: .* the newest 1 entries are kept, the oldest from 20\S+Z$/,
      );
    });
  });
});

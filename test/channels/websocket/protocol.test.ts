import { once } from 'node:events';
import { expect } from 'chai';
import { Fault, type FaultCode } from '../../../runtime/core/fault.ts';
import { InputFault } from '../../../runtime/service/io.ts';
import { rejection } from '../../support/rejection.ts';
import { until } from '../../support/until.ts';
import {
  admit,
  Client,
  channel,
  gist,
  handshake,
  reply,
  sendRaw,
  serving,
  stopAll,
} from './fixture.ts';

const notAuthorized = {
  meta: { msg_type: 'zwsx.merr', status: 403 },
  data: 'You are not authorized to access this resource',
};

describe('WebSocket channel', () => {
  afterEach(stopAll);

  describe('handshake', () => {
    it('answers 404 with its body at a path that no channel has', async () => {
      const answer = await sendRaw(await serving(), handshake('/nowhere'));
      expect(answer).to.match(/^HTTP\/1\.1 404 Not Found\r\n/);
      expect(answer).to.match(/\r\n\r\n{"error":"Not found"}$/);
    });

    for (const [what, headers] of [
      ['a key that is none', { 'Sec-WebSocket-Key': 'short' }],
      ['no key', { 'Sec-WebSocket-Key': '' }],
      ['an unknown version', { 'Sec-WebSocket-Version': '7' }],
      ['a malformed subprotocol', { 'Sec-WebSocket-Protocol': ',,' }],
    ] as const) {
      it(`answers 400 with its body to a handshake with ${what}`, async () => {
        const answer = await sendRaw(await serving(), handshake('/ws', headers));
        expect(answer).to.match(/^HTTP\/1\.1 400 Bad Request\r\n/);
        expect(answer).to.match(/\r\n\r\n{"error":"Bad request"}$/);
      });
    }

    it('answers 400 with its body to a plain request at its path', async () => {
      const { port } = await serving();
      const answer = await fetch(`http://127.0.0.1:${port}/ws?x=1`);
      expect([answer.status, await answer.text()]).to.deep.equal([400, '{"error":"Bad request"}']);
    });

    it('takes a path with a query, in any case of its escapes, and selects no subprotocol', async () => {
      const world = await serving({ channels: { echo: { path: '/wś' } } });
      const client = await Client.open(world, '/w%c5%9b?token=1', {
        headers: { origin: 'http://a' },
      });
      await client.login();
      expect(client.socket.protocol).to.equal('');
      expect(client.socket.extensions).to.equal('');
    });

    it('leaves plain HTTP as it is, also for who offers another protocol', async () => {
      const world = await serving({ http: { plain: { path: '/plain', method: 'POST' } } });
      const body = '{"a":1}';
      const head = [
        'POST /plain?b=2 HTTP/1.1',
        'Host: here',
        'Connection: Upgrade, HTTP2-Settings, close',
        'Upgrade: h2c',
        'HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA',
        `Content-Length: ${body.length}`,
      ];
      const answer = await sendRaw(world, `${head.join('\r\n')}\r\n\r\n`, body);
      expect(answer).to.match(/^HTTP\/1\.1 200 OK\r\n/);
      expect(answer).to.match(/\r\n\r\n{"a":1,"b":"2"}$/);
    });

    it('refuses with 503 beyond the channel’s connections, and takes the next when one has gone', async () => {
      const world = await serving({ channels: { echo: { path: '/ws', maxConnections: 1 } } });
      const first = await Client.open(world);
      expect(await sendRaw(world, handshake('/ws'))).to.match(/^HTTP\/1\.1 503 /);
      await first.close();
      await until(() => world.sockets.sockets === 0);
      await Client.loggedIn(world);
    });

    it('does not take its connections from those of HTTP', async () => {
      const world = await serving();
      const before = world.server.maxConnections;
      const client = await Client.loggedIn(world);
      expect(world.server.maxConnections).to.equal(before + 1);
      await client.close();
      await until(() => world.server.maxConnections === before);
    });
  });

  describe('login', () => {
    it('answers create-session with a token, in the frame of Zato 3.2', async () => {
      const client = await Client.open(await serving());
      const frame = await client.login({ id: 'zwsxc.auth.1' });
      expect(Object.keys(frame.meta)).to.deep.equal([
        ...['id', 'timestamp', 'msg_type', 'status', 'in_reply_to'],
      ]);
      expect(gist(frame)).to.deep.equal({
        meta: { msg_type: 'zwsx.rspa', status: 200, in_reply_to: 'zwsxc.auth.1' },
        data: { token: client.token },
      });
      expect(client.token).to.match(/^zwsxt\.[0-9a-f]{32}$/);
      expect(frame.meta.timestamp).to.match(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}$/);
    });

    it('lets in who has the credentials of the security definition, and logs neither', async () => {
      const world = await serving({ channels: { echo: { path: '/ws', security: 'partner' } } });
      await admit(world, {
        partner: { username: 'ann', password: 'pass.wörd' },
        other: { username: 'bob', password: 'b' },
      });
      await Client.loggedIn(world, '/ws', { username: 'ann', secret: 'pass.wörd' });
      expect(world.sessions[0]?.security).to.equal('partner');
      for (const meta of [
        { username: 'ann', secret: 'wrong' },
        { username: 'ann' },
        { secret: 'pass.wörd' },
        { username: 'ann', secret: 7 },
        { username: 'bob', secret: 'b' },
        { username: 'nobody', secret: 'b' },
        { username: 'ann', secret: 'x'.repeat(2_000) },
      ]) {
        const client = await Client.open(world);
        client.send('create-session', meta);
        expect(gist(await client.next()), JSON.stringify(meta)).to.deep.equal(notAuthorized);
        expect(await client.closed).to.deep.equal({ code: 1005, reason: '' });
      }
      expect(JSON.stringify(world.log.lines)).not.to.match(/pass\.w|"wrong"|"ann"/);
    });

    it('refuses who is not logged in in time, also a client that sends nothing', async () => {
      const world = await serving({ channels: { echo: { path: '/ws', loginTimeout: '30ms' } } });
      const client = await Client.open(world);
      expect(gist(await client.next())).to.deep.equal(notAuthorized);
      expect((await client.closed).code).to.equal(1005);
      await until(() => world.sockets.sockets === 0);
    });

    it('refuses any other frame before the login', async () => {
      const world = await serving();
      for (const action of ['invoke-service', 'client-response', undefined]) {
        const client = await Client.open(world);
        client.send(action, { token: 'zwsxt.1' }, {});
        expect(gist(await client.next())).to.deep.equal(notAuthorized);
        expect((await client.closed).code).to.equal(1005);
      }
      expect(world.calls).to.deep.equal([]);
    });

    it('gives a new token on a login with the old one, which ends', async () => {
      const client = await Client.loggedIn(await serving());
      const old = client.token;
      await client.login();
      expect(client.token).not.to.equal(old);
      expect((await client.invoke({ a: 1 })).data).to.deep.equal({ a: 1 });
      client.send('invoke-service', { token: old }, {});
      expect(gist(await client.next())).to.deep.equal(notAuthorized);
      expect((await client.closed).code).to.equal(1005);
    });

    for (const [what, token] of [
      ['no', undefined],
      ['a wrong', 'zwsxt.0123'],
      ['an odd', 7],
    ] as const) {
      for (const action of ['invoke-service', 'create-session', 'client-response']) {
        it(`refuses ${action} with ${what} token`, async () => {
          const world = await serving();
          const client = await Client.loggedIn(world);
          client.token = undefined;
          client.send(action, token === undefined ? {} : { token }, {});
          expect(gist(await client.next())).to.deep.equal(notAuthorized);
          expect((await client.closed).code).to.equal(1005);
          expect(world.calls).to.deep.equal([]);
        });
      }
    }

    it('refuses a token whose time is over, and each pong gives it more', async () => {
      const channels = {
        short: { path: '/short', tokenTtl: '50ms' },
        kept: { path: '/kept', tokenTtl: '200ms', pingInterval: '20ms' },
      };
      const world = await serving({ channels });
      const kept = await Client.loggedIn(world, '/kept');
      const short = await Client.loggedIn(world, '/short');
      const startedAt = performance.now();
      let pings = 0;
      kept.socket.on('ping', () => pings++);
      await until(() => pings >= 15 && performance.now() - startedAt > 260);
      expect((await kept.invoke({ a: 1 })).meta.status).to.equal(200);
      short.send('invoke-service', {}, {});
      expect(gist(await short.next())).to.deep.equal(notAuthorized);
    });

    it('takes what clients say of themselves, in all the shapes there are', async () => {
      const world = await serving();
      const about = async (meta: Record<string, unknown>) => {
        await Client.loggedIn(world, '/ws', meta);
        const { clientId, clientName, attrs } = world.sessions.at(-1) ?? {};
        return { clientId, clientName, attrs };
      };
      expect(
        await about({ client_id: 7, client_name: { b: 2, a: 'x' }, attrs: 'a=1\n b = 2=3 ' }),
      ).to.deep.equal({ clientId: '7', clientName: 'a: x; b: 2', attrs: { a: '1', b: '2=3' } });
      expect(await about({ client_id: null, client_name: 'N', attrs: { a: 1 } })).to.deep.equal({
        clientId: '',
        clientName: 'N',
        attrs: { a: '1' },
      });
      expect((await about({ attrs: ['x=1', 'y=2'] })).attrs).to.deep.equal({ x: '1', y: '2' });
      for (const meta of [
        { client_id: 'x'.repeat(256) },
        { client_name: ['a'] },
        { attrs: 'no pair' },
        { attrs: '__proto__=1' },
        { attrs: 7 },
      ]) {
        const client = await Client.open(world);
        client.send('create-session', meta);
        expect((await client.next()).meta.status, JSON.stringify(meta)).to.equal(400);
        expect((await client.closed).code).to.equal(4003);
      }
    });
  });

  describe('invoke-service', () => {
    it('answers with what the service said, in the frame of Zato 3.2', async () => {
      const world = await serving();
      const client = await Client.loggedIn(world);
      const frame = await client.invoke({ text: 'zażółć 😀' }, { id: 'X' });
      expect(gist(frame)).to.deep.equal({
        meta: { msg_type: 'zwsx.rspok', status: 200, in_reply_to: 'X' },
        data: { text: 'zażółć 😀' },
      });
      const [call] = world.calls;
      expect(call?.cid).to.equal(frame.meta.id);
      expect(call?.wsx).to.equal(world.sessions[0]);
      expect(call?.rawRequest).to.equal('{"text":"zażółć 😀"}');
      expect(call?.http).to.equal(undefined);
    });

    it('gives the service the exact text, and big integers back as they are', async () => {
      const service = () => reply({ big: 9_007_199_254_740_993n });
      const world = await serving({ service });
      const client = await Client.loggedIn(world);
      client.socket.send(
        `{"data" : {"big":9007199254740993}, "meta":{"action":"invoke-service","id":"i","timestamp":"2023-01-01T00:00:00","token":"${client.token}"}}`,
      );
      const [raw] = await once(client.socket, 'message');
      expect(world.calls[0]?.rawRequest).to.equal('{"big":9007199254740993}');
      expect(String(raw)).to.match(/"data":{"big":9007199254740993}}$/);
    });

    it('leaves out the data that Python takes for false', async () => {
      const payloads = [undefined, null, '', 0, false, [], {}, Buffer.alloc(0)];
      const world = await serving({ service: () => reply(payloads.shift()) });
      const client = await Client.loggedIn(world);
      while (payloads.length > 0) {
        expect(Object.keys(await client.invoke())).to.deep.equal(['meta']);
      }
      expect(world.calls[0]?.input).to.deep.equal({});
    });

    it('carries text, bytes that are text, lists and another status', async () => {
      const payloads = ['{"not":"parsed"}', Buffer.from('ż'), [1], 7, new Date(0)];
      const world = await serving({ service: () => reply(payloads.shift(), { statusCode: 201 }) });
      const client = await Client.loggedIn(world);
      for (const data of ['{"not":"parsed"}', 'ż', [1], 7, '1970-01-01T00:00:00.000Z']) {
        const frame = await client.invoke({});
        expect([frame.meta.status, frame.data]).to.deep.equal([201, data]);
      }
    });

    const statuses: Record<FaultCode, number> = {
      'bad-request': 400,
      unauthorized: 401,
      forbidden: 403,
      'not-found': 404,
      'method-not-allowed': 405,
      conflict: 409,
      'too-large': 413,
      'too-many': 429,
      timeout: 504,
      unavailable: 503,
      internal: 500,
    };
    for (const [code, status] of Object.entries(statuses)) {
      it(`answers ${status} for the fault ${code}`, async () => {
        const service = () => Promise.reject(new Fault(code as FaultCode, 'A sentence'));
        const client = await Client.loggedIn(await serving({ service }));
        const frame = await client.invoke({});
        const sentence = code === 'internal' ? 'Internal server error' : 'A sentence';
        expect(frame.meta).to.include({ msg_type: 'zwsx.rsperr', status, error_message: sentence });
        expect(frame.data).to.deep.equal({ cid: frame.meta.id });
      });
    }

    it('answers 400 I/O processing error for input that the service’s IO refuses', async () => {
      const service = () => Promise.reject(new InputFault('needs user', { missing: ['user'] }));
      const client = await Client.loggedIn(await serving({ service }));
      const frame = await client.invoke({});
      expect(frame.meta).to.include({ status: 400, error_message: 'I/O processing error' });
      expect(frame.data).to.deep.equal({ cid: frame.meta.id, details: { missing: ['user'] } });
    });

    it('answers 500 for a bug and for what JSON cannot say, whose reason only the log has', async () => {
      const circular: Record<string, unknown> = {};
      circular['self'] = circular;
      const answers = [
        () => Promise.reject(new Error('secret reason')),
        () => reply(circular),
        () => reply(Buffer.from([0xff])),
        () => reply(() => 1),
      ];
      const world = await serving({ service: () => (answers.shift() ?? (() => reply(1)))() });
      const client = await Client.loggedIn(world);
      for (let left = 4; left > 0; left--) {
        const frame = await client.invoke({});
        expect(frame.meta).to.include({ status: 500, error_message: 'Internal server error' });
        expect(JSON.stringify(frame)).not.to.contain('secret');
        const line = world.log.lines.findLast(({ level }) => level === 'error');
        expect(line?.facts).to.include({ cid: frame.meta.id, channel: 'echo', status: 500 });
      }
      expect((await client.invoke({})).data).to.equal(1);
    });

    it('runs calls of one client at the same time, and answers each as it ends', async () => {
      const waiting: (() => void)[] = [];
      const world = await serving({
        service: ({ input }) =>
          input === 'slow'
            ? new Promise((resolve) => waiting.push(() => resolve(reply('slow'))))
            : reply('quick'),
      });
      const client = await Client.loggedIn(world);
      const slow = client.send('invoke-service', {}, 'slow');
      expect((await client.invoke('quick')).data).to.equal('quick');
      expect(world.sockets.inFlight).to.equal(1);
      waiting[0]?.();
      expect((await client.next()).meta.in_reply_to).to.equal(slow);
      expect([world.sockets.inFlight, world.sockets.served]).to.deep.equal([0, 2]);
    });

    it('runs so many calls of one client at a time, and the others after them, in turn', async () => {
      const waiting: (() => void)[] = [];
      const world = await serving({
        service: ({ input }) => new Promise((resolve) => waiting.push(() => resolve(reply(input)))),
        limits: { maxInFlight: 2 },
      });
      const client = await Client.loggedIn(world);
      for (let at = 1; at <= 5; at++) client.send('invoke-service', {}, at);
      const answer = world.sessions[0]?.invoke('while they run', 5_000);
      const { meta } = await client.next();
      client.send(undefined, { in_reply_to: meta.id }, { response: 'heard' });
      expect(await answer).to.equal('heard');
      for (let at = 1; at <= 5; at++) {
        expect(world.calls.length).to.equal(Math.min(at + 1, 5));
        waiting.shift()?.();
        expect((await client.next()).data).to.equal(at);
      }
    });

    it('aborts the signals of its calls when the client goes', async () => {
      const world = await serving({
        service: ({ signal }) =>
          new Promise((_, reject) =>
            signal?.addEventListener('abort', () => reject(signal.reason)),
          ),
      });
      const client = await Client.loggedIn(world);
      client.send('invoke-service', {}, 1);
      await until(() => world.sockets.inFlight === 1);
      client.socket.terminate();
      await until(() => world.sockets.inFlight === 0);
    });
  });

  describe('gateway', () => {
    const gateway = (allow?: readonly string[]) => ({
      channels: { gate: { path: '/ws', gateway: true, ...(allow ? { allow } : {}) } },
    });

    it('calls the service that the frame names, with its request', async () => {
      const world = await serving(gateway(['crm.*']));
      const client = await Client.loggedIn(world);
      const frame = await client.invoke({ service: 'crm.get', request: { id: 12 } });
      expect(frame.data).to.deep.equal({ id: 12 });
      expect(world.calls[0]).to.include({ service: 'crm.get', rawRequest: '{"id":12}' });
      await client.invoke({ service: 'crm.get' });
      expect(world.calls[1]?.input).to.deep.equal({});
    });

    it('lets nothing else through', async () => {
      const world = await serving(gateway(['crm.*', 'a*b.c']));
      const client = await Client.loggedIn(world);
      for (const service of ['crm', 'xcrm.get', 'crmX.get', 'a.c', 'ab.c.d', 'zato.ping']) {
        const { meta } = await client.invoke({ service });
        expect([meta.status, meta.error_message], service).to.deep.equal([
          403,
          'You are not allowed to access this resource',
        ]);
      }
      for (const data of [undefined, 'x', [1], {}, { service: 7 }, { service: 'a b' }]) {
        expect((await client.invoke(data)).meta.status).to.equal(400);
      }
      expect(world.calls).to.deep.equal([]);
    });

    it('allows ping and publish/subscribe when nothing is named', async () => {
      const world = await serving({
        ...gateway(),
        gatewayServices: {
          'zato.pubsub.pubapi.subscribe-wsx': async ({ request, text, session, cid }) => ({
            request,
            text,
            session: session.id,
            cid,
          }),
        },
      });
      const client = await Client.loggedIn(world);
      expect((await client.invoke({ service: 'zato.ping' })).data).to.deep.equal({ pong: 'zato' });
      const service = 'zato.pubsub.pubapi.subscribe-wsx';
      const frame = await client.invoke({ service, request: { topic_name: '/a' } });
      expect(frame.data).to.deep.equal({
        request: { topic_name: '/a' },
        text: '{"topic_name":"/a"}',
        session: world.sessions[0]?.id,
        cid: frame.meta.id,
      });
      expect((await client.invoke({ service: 'crm.get' })).meta.status).to.equal(403);
      expect(world.calls).to.deep.equal([]);
    });
  });

  describe('requests to the client', () => {
    it('are answered by client-response, unwrapped', async () => {
      const world = await serving();
      const client = await Client.loggedIn(world);
      for (const [data, expected] of [
        [{ response: { a: 1 } }, { a: 1 }],
        [{ other: 1 }, { other: 1 }],
        [[1], [1]],
        [undefined, undefined],
      ]) {
        const answer = world.sessions[0]?.invoke({ question: 1 }, 5_000);
        const frame = await client.next();
        expect(gist(frame)).to.deep.equal({
          meta: { msg_type: 'zwsx.rqc' },
          data: { question: 1 },
        });
        client.send(undefined, { in_reply_to: frame.meta.id }, data);
        expect(await answer).to.deep.equal(expected);
      }
    });

    it('fail when the client does not answer in time, leaves, or what is asked is not JSON', async () => {
      const world = await serving();
      const client = await Client.loggedIn(world);
      const [session] = world.sessions;
      const ask = async (request: unknown, timeoutMs: number) =>
        session?.invoke(request, timeoutMs);
      const late = await rejection(ask(1, 20));
      expect(late).to.include({ code: 'timeout' });
      expect(late.message).to.equal('The WebSocket client did not answer in 20 ms');
      const frame = await client.next();
      client.send('client-response', { in_reply_to: frame.meta.id }, { response: 'too late' });
      expect(await rejection(ask(() => 1, 20))).to.include({ code: 'bad-request' });
      const cut = rejection(ask(1, 5_000));
      client.socket.terminate();
      expect(await cut).to.include({ code: 'unavailable' });
      expect(await rejection(ask(1, 5_000))).to.include({ code: 'unavailable' });
      expect(session?.open).to.equal(false);
    });

    it('reach others: one by id, all of a channel, those with an attribute', async () => {
      const world = await serving({ channels: { a: { path: '/a' }, b: { path: '/b' } } });
      const one = await Client.loggedIn(world, '/a', { attrs: { floor: '1' } });
      const two = await Client.loggedIn(world, '/a', { attrs: { floor: '2' } });
      const three = await Client.loggedIn(world, '/b', { attrs: { floor: '2' } });
      const { clients } = world.sockets;
      expect(clients.list('a').map(({ attrs }) => attrs['floor'])).to.deep.equal(['1', '2']);
      expect(clients.list()).to.have.length(3);

      expect(clients.broadcast('a', { news: 1 })).to.equal(2);
      expect((await one.next()).data).to.deep.equal({ news: 1 });
      expect((await two.next()).data).to.deep.equal({ news: 1 });
      expect(world.sessions[2]?.broadcast('b only')).to.equal(1);
      expect((await three.next()).data).to.equal('b only');

      const answers = clients.invokeByAttrs({ floor: '2' }, 'which?', { timeout: '50ms' });
      const asked = await two.next();
      two.send(undefined, { in_reply_to: asked.meta.id }, { response: 'two' });
      const [first, second] = await answers;
      expect(first).to.deep.include({ response: 'two' });
      expect(second?.error).to.include({ code: 'timeout' });

      const id = world.sessions[0]?.id ?? '';
      expect(id).to.match(/^ws\.[0-9a-f]{24}$/);
      const answer = clients.invoke(id, 'you');
      one.send(undefined, { in_reply_to: (await one.next()).meta.id }, { response: 'me' });
      expect(await answer).to.equal('me');
      expect(clients.disconnect(id, 'Enough')).to.equal(true);
      expect(await one.closed).to.deep.equal({ code: 4005, reason: 'Enough' });
      expect(clients.disconnect(id)).to.equal(false);
      expect(await rejection(clients.invoke(id, 1))).to.include({ code: 'not-found' });
    });

    it('give answers that nobody waits for to whoever takes part, and to the hook service', async () => {
      const answered: unknown[] = [];
      const world = await serving({
        channels: { echo: { path: '/ws', hook: 'test.hook' } },
        hooks: {
          answered: (session, { inReplyTo, data, text }) => {
            answered.push([session.id, inReplyTo, data, text]);
            return true;
          },
        },
      });
      const client = await Client.loggedIn(world);
      client.send(undefined, { in_reply_to: 'zpsm123' }, { ok: true });
      client.send(undefined, { in_reply_to: 'other' }, 7);
      client.send(undefined, {}, 'to nothing');
      const id = world.sessions[0]?.id;
      await until(() => answered.length === 2 && world.calls.length === 2);
      expect(answered).to.deep.equal([
        [id, 'zpsm123', { ok: true }, '{"ok":true}'],
        [id, 'other', 7, '7'],
      ]);
      await client.close();
      await until(() => world.calls.length === 3);
      expect(world.calls.map(({ service }) => service)).to.deep.equal(Array(3).fill('test.hook'));
      const common = {
        channel: 'echo',
        pub_client_id: id,
        client_id: 'c1',
        client_name: 'My client',
      };
      expect(world.calls.map(({ input }) => input)).to.deep.equal([
        { event: 'on_connected', ...common },
        { event: 'on_pubsub_response', ...common, in_reply_to: 'zpsm123', data: { ok: true } },
        { event: 'on_disconnected', ...common, close_code: 1005 },
      ]);
    });
  });

  describe('heartbeat', () => {
    it('pings with the JSON of a request frame, of at most 125 bytes', async () => {
      const world = await serving({ channels: { echo: { path: '/ws', pingInterval: '20ms' } } });
      const client = await Client.loggedIn(world);
      const [payload] = (await once(client.socket, 'ping')) as [Buffer];
      expect(payload.length).to.be.at.most(125);
      expect(payload.toString()).not.to.match(/\s/);
      expect(gist(JSON.parse(payload.toString()))).to.deep.equal({
        meta: { msg_type: 'zwsx.rqc' },
      });
    });

    for (const [what, answer] of [
      ['no pong', () => undefined],
      ['a pong of another payload', (client: Client) => client.socket.pong('{}')],
    ] as const) {
      it(`closes 4002 after two pings with ${what}`, async () => {
        const channels = { echo: { path: '/ws', pingInterval: '20ms' } };
        const client = await Client.open(await serving({ channels }), '/ws', { autoPong: false });
        let pings = 0;
        client.socket.on('ping', () => {
          pings++;
          answer(client);
        });
        await client.login();
        expect(await client.closed).to.deep.equal({ code: 4002, reason: 'Pings missed' });
        expect(pings).to.equal(2);
      });
    }

    it('forgives a ping that was missed when the next is answered', async () => {
      const channels = { echo: { path: '/ws', pingInterval: '20ms' } };
      const client = await Client.open(await serving({ channels }), '/ws', { autoPong: false });
      let pings = 0;
      client.socket.on('ping', (payload) => {
        if (++pings % 2 === 0) client.socket.pong(payload);
      });
      await client.login();
      await until(() => pings >= 8);
      expect(client.socket.readyState).to.equal(client.socket.OPEN);
    });
  });

  describe('end', () => {
    it('closes 4004 who sends nothing for the idle time; pongs do not count', async () => {
      const channels = { echo: { path: '/ws', idle: '60ms', pingInterval: '10ms' } };
      const client = await Client.loggedIn(await serving({ channels }));
      expect(await client.closed).to.deep.equal({ code: 4004, reason: 'Idle' });
    });

    it('closes 4005 when the channel is changed or gone, and serves it at its new path', async () => {
      const world = await serving();
      const client = await Client.loggedIn(world);
      world.sockets.update([channelAt('/new')]);
      expect((await client.closed).code).to.equal(4005);
      expect(await sendRaw(world, handshake('/ws'))).to.match(/^HTTP\/1\.1 404 /);
      const moved = await Client.loggedIn(world, '/new');
      world.sockets.update([]);
      expect((await moved.closed).code).to.equal(4005);
      expect(world.log.lines.filter(({ level }) => level === 'error')).to.deep.equal([]);
    });

    it('closes 1001 when the server drains, each client after its last answer', async () => {
      let finish = (): void => undefined;
      const world = await serving({
        service: () =>
          new Promise((resolve) => {
            finish = () => resolve(reply('done'));
          }),
      });
      const idle = await Client.loggedIn(world);
      const guest = await Client.open(world);
      const busy = await Client.loggedIn(world);
      busy.send('invoke-service', {}, 1);
      await until(() => world.sockets.inFlight === 1);
      const drained = world.sockets.drain();
      const ending = { code: 1001, reason: 'Server is shutting down' };
      expect(await idle.closed).to.deep.equal(ending);
      expect(await guest.closed).to.deep.equal(ending);
      expect((await busy.invoke(2)).meta.status).to.equal(503);
      expect(await sendRaw(world, handshake('/ws'))).to.match(/^HTTP\/1\.1 503 /);
      finish();
      expect((await busy.next()).data).to.equal('done');
      expect(await busy.closed).to.deep.equal(ending);
      await drained;
      expect(world.sockets.sockets).to.equal(0);
    });

    it('tells whoever listens once, with the code', async () => {
      const world = await serving();
      const client = await Client.loggedIn(world);
      const codes: number[] = [];
      const [session] = world.sessions;
      session?.onClose((code) => codes.push(code));
      session?.onClose((code) => codes.push(-code))();
      client.socket.close(4321);
      await until(() => world.sockets.sockets === 0);
      session?.onClose((code) => codes.push(code));
      expect(codes).to.deep.equal([4321, 4321]);
      expect(session?.send({ a: 1 })).to.equal(false);
      expect(world.sockets.clients.size).to.equal(0);
    });
  });
});

function channelAt(path: string) {
  return channel('echo', { path });
}

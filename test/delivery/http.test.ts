import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { expect } from 'chai';
import type { OutgoingConnection } from '../../outgoing/http/connection.ts';
import { connect, deadUrl, hostile, httpServer, type RunningServer } from '../outgoing/fixture.ts';
import { selfSignedServer } from '../outgoing/tls-server.ts';
import { startRedis, type TestRedis } from '../support/redis.ts';
import { until } from '../support/until.ts';
import { type Delivering, delivering } from './fixture.ts';

interface Got {
  readonly at: number;
  readonly headers: IncomingMessage['headers'];
  readonly body: Record<string, unknown>;
}

type Answer = (got: Got, count: number, response: ServerResponse) => void;

const status =
  (code: number, headers: Record<string, string> = {}): Answer =>
  (_got, _count, response) => {
    response.writeHead(code, headers).end();
  };

describe('deliveries to outgoing connections', () => {
  let redis: TestRedis;
  let servers: RunningServer[] = [];
  let connections = new Map<string, OutgoingConnection>();
  let node: Delivering;

  const endpoint = async (answer: Answer) => {
    const got: Got[] = [];
    const server = await httpServer((request, response) => {
      const chunks: Buffer[] = [];
      request.on('data', (chunk: Buffer) => chunks.push(chunk));
      request.on('end', () => {
        const body = JSON.parse(Buffer.concat(chunks).toString());
        const one = { at: Date.now(), headers: request.headers, body };
        got.push(one);
        answer(one, got.length, response);
      });
    });
    servers.push(server);
    return { got, url: server.url };
  };
  const outgoing = (name: string, url: string, more: Record<string, unknown> = {}) => {
    connections.set(name, connect({ url, ...more }, { name }).connection);
  };
  const open = async (breakerResetMs = 300) => {
    node = await delivering(redis.path, {
      runner: {
        breakerResetMs,
        outgoing: (name) => {
          const conn = connections.get(name);
          if (!conn) throw new Error(`No such outgoing connection: ${name}`);
          return { conn };
        },
      },
    });
  };
  const subscribe = (subKey: string, more = {}) =>
    node.subscribe(subKey, { outgoing: 'crm', ...more, ...{ service: undefined } } as object);
  const letters = async (subKey: string) =>
    await until(async () => {
      const found = await node.dead(subKey);
      return found.length > 0 && found;
    });

  before(async () => {
    redis = await startRedis();
  });

  beforeEach(() => open());

  afterEach(async () => {
    await node.stop();
    await Promise.all(servers.map((server) => server.stop()));
    await Promise.all([...connections.values()].map((connection) => connection.close()));
    servers = [];
    connections = new Map();
    await redis.restart();
  });

  after(() => redis.stop());

  it('POST the body of the contract, with the delivery count and an idempotency key', async () => {
    const { got, url } = await endpoint(status(204));
    outgoing('crm', url, { path: '/hook', headers: { 'x-key': 'k' } });
    await subscribe('order.placed');
    const data = { order_id: 'o1' };
    const more = { publisher: 'shop', correlId: 'co', priority: 7, expirationMs: 60_000 };
    const { msgId } = await node.publish('order.placed', data, more);
    const { body, headers } = await until(() => got[0]);
    const iso = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00:00$/;
    for (const key of ['pub_time_iso', 'recv_time_iso', 'expiration_time_iso']) {
      expect(body[key]).to.match(iso);
      delete body[key];
    }
    expect(body).to.deep.equal({
      msg_id: msgId,
      sequence_id: 1,
      topic_name: 'order.placed',
      data: '{"order_id":"o1"}',
      data_class: '',
      data_size: 17,
      data_preview: '{"order_id":"o1"}',
      priority: 7,
      expiration: 60,
      publisher: 'shop',
      cid: 'cid-1',
      correl_id: 'co',
    });
    expect(headers).to.include({
      'content-type': 'application/json',
      'idempotency-key': msgId,
      'x-hence-delivery': '1',
      'x-key': 'k',
      'x-hence-cid': 'cid-1',
    });
    await until(() => node.drained('order.placed'));
  });

  it('answered 500 are repeated by the schedule, 503 not before its Retry-After: F35', async () => {
    const { got, url } = await endpoint((_got, count, response) => {
      if (count === 1) response.writeHead(500).end();
      else if (count === 2) response.writeHead(503, { 'retry-after': '1' }).end();
      else response.end();
    });
    outgoing('crm', url);
    await subscribe('a', { retryMs: [200] });
    await node.publish('a', 1);
    await until(() => got.length === 3);
    const [first, second, third] = got.map(({ at }) => at);
    expect(Number(second) - Number(first)).to.be.within(175, 600);
    expect(Number(third) - Number(second)).to.be.within(950, 1_700);
    expect(got.map(({ headers }) => headers['x-hence-delivery'])).to.deep.equal(['1', '2', '3']);
    await until(() => node.drained('a'));
  });

  it('are never repeated by the connection too', async () => {
    const { got, url } = await endpoint(status(500));
    outgoing('crm', url, { retry: { attempts: 3, delay: '1ms', methods: ['POST'], on: ['5xx'] } });
    await subscribe('a', { maxDeliveries: 2, retryMs: [10] });
    await node.publish('a', 1);
    expect(await letters('a')).to.deep.equal([
      { value: 1, reason: 'max-deliveries', lastError: 'answered 500' },
    ]);
    expect(got.length).to.equal(2);
  });

  it('answered 429 pause the endpoint for all its subscriptions, and cost no attempt: F36', async () => {
    const { got, url } = await endpoint((_got, count, response) => {
      response.writeHead(count === 1 ? 429 : 200, { 'retry-after': '1' }).end();
    });
    outgoing('crm', url);
    await subscribe('a', { maxDeliveries: 1 });
    await subscribe('b', { maxDeliveries: 1 });
    await node.publish('a', 'a1');
    await until(() => got.length === 1);
    await node.publish('b', 'b1');
    await until(() => got.length === 3);
    const [first, ...later] = got.map(({ at }) => at);
    for (const at of later) expect(at - Number(first)).to.be.at.least(950);
    await until(async () => (await node.drained('a')) && (await node.drained('b')));
    expect([...(await node.dead('a')), ...(await node.dead('b'))]).to.deep.equal([]);
  });

  for (const code of [400, 401, 403, 404, 409, 413, 422]) {
    it(`answered ${code} are tried three times, then dead: F37`, async () => {
      const { got, url } = await endpoint(status(code));
      outgoing('crm', url);
      await subscribe('a', { retryMs: [5] });
      await node.publish('a', 1);
      expect(await letters('a')).to.deep.equal([
        { value: 1, reason: 'rejected-by-endpoint', lastError: `answered ${code}` },
      ]);
      expect(got.length).to.equal(3);
    });
  }

  it('of which all are answered 401 are not all buried: the breaker opens', async () => {
    const { got, url } = await endpoint(status(401));
    outgoing('crm', url, { banGuard: { refusals: 0 } });
    await subscribe('a', { retryMs: [500], concurrency: 1 });
    await Promise.all(Array.from({ length: 100 }, (_, at) => node.publish('a', at)));
    await until(() => node.log.lines.some(({ message }) => message.includes('its messages wait')));
    await until(() => node.runner.active === 0);
    expect(got.length).to.be.below(12);
    expect((await node.dead('a')).length).to.equal(0);
  });

  it('answered 410 pause the subscription, and keep the message: F38', async () => {
    const { got, url } = await endpoint(status(410));
    outgoing('crm', url);
    await subscribe('a');
    await node.publish('a', 1);
    await until(() => node.paused.length === 1);
    expect(node.paused).to.deep.equal(['a: answered 410']);
    await until(async () => (await node.broker.depth(['a']))[0]?.waiting === 1);
    expect(got.length).to.equal(1);
    expect(
      node.log.lines.some(({ message }) => message.startsWith('subscription paused')),
    ).to.equal(true);
  });

  it('answered with a redirect do not follow it: F39', async () => {
    const { got, url } = await endpoint(status(302, { location: '/elsewhere' }));
    outgoing('crm', url);
    await subscribe('a', { maxDeliveries: 2, retryMs: [5] });
    await node.publish('a', 1);
    expect((await letters('a'))[0]?.lastError).to.equal('redirect_not_followed: answered 302');
    expect(got.length).to.equal(2);
  });

  const trickle = (socket: Socket) => {
    const timer = setInterval(() => socket.write('x'), 20);
    socket.once('close', () => clearInterval(timer));
  };
  const saying = (text: string, then: (socket: Socket) => void = () => {}) =>
    hostile((socket) =>
      socket.once('data', () => {
        socket.write(text, 'latin1');
        then(socket);
      }),
    );
  const ok = 'HTTP/1.1 200 OK\r\n';
  const evils: readonly [string, () => Promise<RunningServer | string>, RegExp][] = [
    ['refused: F40', deadUrl, /refused the connection/],
    ['closed before the reply: F40', () => hostile((s) => s.destroy()), /closed the connection/],
    [
      'reset: F40',
      () => hostile((s) => s.once('data', () => s.resetAndDestroy())),
      /closed the conn/,
    ],
    ['never answered: F41', () => hostile(() => {}), /timeout: /],
    ['half a head, then silence: F42', () => saying('HTTP/1.1 200 O'), /timeout: /],
    [
      'half a body, then closed: F42',
      () => saying(`${ok}Content-Length: 100\r\n\r\nhalf`, (s) => s.end()),
      /closed the connection/,
    ],
    [
      'half a body, then silence: F42',
      () => saying(`${ok}Content-Length: 100\r\n\r\nhalf`),
      /timeout: /,
    ],
    ['a trickle: F43', () => saying(`${ok}Content-Length: 9999\r\n\r\n`, trickle), /timeout: /],
    ['garbage: F44', () => saying('I am not HTTP\r\n\r\n'), /not HTTP/],
    [
      'a bomb of headers: F44',
      () => saying(`${ok}X: ${'x'.repeat(200_000)}\r\n\r\n`),
      /unavailable: /,
    ],
    [
      'a bad chunk: F44',
      () => saying(`${ok}Transfer-Encoding: chunked\r\n\r\nzz\r\n`),
      /unavailable: /,
    ],
    [
      'a reply of 50 MB: F45',
      () => saying(`${ok}Content-Length: 50000000\r\n\r\n${'x'.repeat(2_000_000)}`),
      /more than \d+ bytes/,
    ],
  ];

  for (const [what, serve, says] of evils) {
    it(`are failed attempts: ${what}`, async () => {
      const server = await serve();
      if (typeof server !== 'string') servers.push(server);
      outgoing('crm', typeof server === 'string' ? server : server.url);
      await subscribe('a', { maxDeliveries: 2, retryMs: [5], timeoutMs: 100 });
      await node.publish('a', 1);
      const [letter] = await letters('a');
      expect(letter?.reason).to.equal('max-deliveries');
      expect(letter?.lastError).to.match(says);
    });
  }

  it('to a host that has no address are failed attempts: F46', async () => {
    outgoing('crm', 'http://nobody.invalid');
    await subscribe('a', { maxDeliveries: 2, retryMs: [5], timeoutMs: 5_000 });
    await node.publish('a', 1);
    const [letter] = await letters('a');
    expect(letter?.reason).to.equal('max-deliveries');
    expect(letter?.lastError).to.match(/host name that cannot be resolved/);
  });

  it('to an endpoint whose certificate nobody vouches for are failed attempts, and tell it nothing: F47', async () => {
    const server = await selfSignedServer();
    try {
      outgoing('crm', server.url);
      await subscribe('a', { maxDeliveries: 2, retryMs: [5], timeoutMs: 5_000 });
      await node.publish('a', 1);
      const [letter] = await letters('a');
      expect(letter?.lastError).to.match(/not trusted: its TLS certificate is self-signed/);
      expect(server.served()).to.equal(0);
    } finally {
      await server.stop();
    }
  });

  it('go on for others while one endpoint hangs: F48', async () => {
    const slow = await hostile(() => {});
    servers.push(slow);
    const { got, url } = await endpoint(status(200));
    outgoing('slow', slow.url);
    outgoing('crm', url);
    await subscribe('bad', { outgoing: 'slow', concurrency: 2 });
    await subscribe('good');
    await Promise.all(
      Array.from({ length: 100 }, (_, at) =>
        Promise.all([node.publish('bad', at), node.publish('good', at)]),
      ),
    );
    await until(() => got.length === 100, 5_000);
    const [bad] = await node.broker.depth(['bad']);
    expect(bad?.leased).to.be.at.most(4);
    expect(Number(bad?.leased) + Number(bad?.waiting)).to.equal(100);
    connections.delete('slow');
    await slow.stop();
  });

  it('to a dead endpoint with a backlog are few, and all arrive when it lives again: F49', async () => {
    const url = await deadUrl();
    outgoing('crm', url);
    await subscribe('a', { retryMs: [100] });
    await Promise.all(Array.from({ length: 500 }, (_, at) => node.publish('a', at)));
    await until(() => node.log.lines.some(({ message }) => message.includes('its messages wait')));
    await until(() => node.runner.active === 0);
    const attempts = node.notes.length;
    expect(attempts).to.be.below(30);
    const { got, url: lives } = await endpoint(status(200));
    outgoing('crm', lives);
    await until(() => got.length === 500, 8_000);
    await until(() => node.drained('a'));
    expect(await node.dead('a')).to.deep.equal([]);
  });

  it('that the connection itself holds back cost no attempt', async () => {
    const { got, url } = await endpoint((_got, count, response) => {
      response.writeHead(count === 1 ? 429 : 200, { 'retry-after': '1' }).end();
    });
    outgoing('crm', url, { park: { enabled: true } });
    const parked = connections.get('crm');
    await parked?.post('cid', '{}').catch(() => {});
    await subscribe('a', { maxDeliveries: 1 });
    await node.publish('a', 1);
    await until(() => got.length === 2);
    expect(Number(got[1]?.at) - Number(got[0]?.at)).to.be.at.least(950);
    expect(got[1]?.headers['x-hence-delivery']).to.equal('2');
    expect(await node.dead('a')).to.deep.equal([]);
  });
});

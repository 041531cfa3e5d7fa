import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { expect } from 'chai';
import { until } from '../../support/until.ts';
import { ask, bodyOf, sendRaw, serving, stopAll, type World } from './fixture.ts';

describe('The channels\u2019 server', () => {
  afterEach(stopAll);

  const limited = () =>
    serving({
      channels: {
        small: { path: '/small', dataFormat: 'raw', maxBody: 100 },
        usual: { path: '/usual', dataFormat: 'raw' },
        large: { path: '/large', dataFormat: 'raw', maxBody: '20mb' },
      },
    });
  const head = (path: string, ...lines: string[]) =>
    `POST ${path} HTTP/1.1\r\nHost: a\r\n${lines.map((line) => `${line}\r\n`).join('')}\r\n`;
  const lengthSeen = ({ calls }: World) => (calls.at(-1)?.rawRequest as Buffer | undefined)?.length;

  describe('takes a body of exactly the limit, and answers 413 to one byte more', () => {
    for (const [path, limit] of [
      ['/small', 100],
      ['/usual', 1_048_576],
      ['/large', 20 * 1_048_576],
    ] as const) {
      for (const chunked of [false, true]) {
        it(`${limit} bytes, ${chunked ? 'chunked' : 'with a length'}`, async () => {
          const at = await limited();
          const headers = chunked ? { headers: { 'Transfer-Encoding': 'chunked' } } : {};
          const exact = await ask(at, 'POST', path, { body: Buffer.alloc(limit), ...headers });
          expect([exact.status, lengthSeen(at)]).to.deep.equal([200, limit]);
          const more = await ask(at, 'POST', path, { body: Buffer.alloc(limit + 1), ...headers });
          expect([more.status, more.headers.connection]).to.deep.equal([413, 'close']);
          expect(more.json()).to.have.nested.property('error.details.limit', limit);
          expect(at.calls).to.have.length(1);
        });
      }
    }
  });

  it('answers 413 at once to a declared 100 MB', async () => {
    const at = await limited();
    const socket = connect(at.port, '127.0.0.1');
    const startedAt = performance.now();
    socket.write(head('/usual', 'Content-Length: 104857600'));
    const [data] = (await once(socket, 'data')) as [Buffer];
    expect(data.toString()).to.match(/^HTTP\/1.1 413 /);
    expect(performance.now() - startedAt).to.be.below(500);
    socket.destroy();
  });

  it('ends a chunked body that never ends', async () => {
    const at = await limited();
    const chunk = `10000\r\n${'x'.repeat(65_536)}\r\n`;
    const socket = connect(at.port, '127.0.0.1').on('error', () => undefined);
    const answer = once(socket, 'data') as Promise<[Buffer]>;
    const closed = once(socket, 'close');
    socket.write(head('/usual', 'Transfer-Encoding: chunked'));
    const feed = setInterval(() => socket.write(chunk), 1);
    try {
      expect((await answer)[0].toString()).to.match(/^HTTP\/1.1 413 /);
      await closed;
    } finally {
      clearInterval(feed);
    }
    expect(at.calls).to.have.length(0);
  });

  it('answers a large body that nobody wants before it has all come', async () => {
    const at = await limited();
    const answer = await ask(at, 'POST', '/nothing', { body: Buffer.alloc(8 * 1_048_576) });
    expect([answer.status, answer.headers.connection]).to.deep.equal([404, 'close']);
    const small = await ask(at, 'POST', '/nothing', { body: 'x' });
    expect(small.status).to.equal(404);
  });

  it('keeps the connection after an error with a small body', async () => {
    const at = await limited();
    const body = 'x'.repeat(1_000);
    const first = `${head('/nothing', 'Content-Length: 1000')}${body}`;
    const second = `${head('/small', 'Content-Length: 2', 'Connection: close')}ab`;
    const { text } = await sendRaw(at, first + second);
    expect(text.match(/HTTP\/1.1 \d+/g)).to.deep.equal(['HTTP/1.1 404', 'HTTP/1.1 200']);
  });

  it('takes 100 headers and answers 431 to 101', async () => {
    const at = await limited();
    const headers = (count: number) =>
      // Host, Connection and Content-Length are headers too.
      Array.from({ length: count - 3 }, (_, n) => `X-${n}: 1`);
    const ends = ['Connection: close', 'Content-Length: 0'];
    const exact = await sendRaw(at, head('/small', ...headers(100), ...ends));
    expect(exact.text).to.match(/^HTTP\/1.1 200 /);
    for (const count of [101, 102, 150, 1_200]) {
      const { text } = await sendRaw(at, head('/small', ...ends, ...headers(count)));
      expect(text, `${count}`).to.match(/^HTTP\/1.1 431 /);
      expect(bodyOf(text).cid).to.match(/^[0-9a-f]{32}$/);
    }
  });

  it('answers 431 to headers over 16 KB', async () => {
    const at = await limited();
    for (const size of [17_000, 1_000_000]) {
      const { text } = await sendRaw(at, head('/small', `X-Long: ${'x'.repeat(size)}`));
      expect(text, `${size}`).to.match(/^HTTP\/1.1 431 /);
      expect(bodyOf(text).error.code).to.equal('too-large');
    }
  });

  describe('refuses what smuggles one request in another, and serves on', () => {
    const smuggled = 'GET /small HTTP/1.1\r\nHost: a\r\n\r\n';
    for (const [what, request] of [
      [
        'a length and chunks',
        `${head('/small', 'Content-Length: 5', 'Transfer-Encoding: chunked')}0\r\n\r\n${smuggled}`,
      ],
      [
        'chunks and a length',
        `${head('/small', 'Transfer-Encoding: chunked', 'Content-Length: 5')}0\r\n\r\n${smuggled}`,
      ],
      ['two lengths', head('/small', 'Content-Length: 0', 'Content-Length: 5') + smuggled],
      ['a list of lengths', head('/small', 'Content-Length: 0, 5') + smuggled],
      ['a signed length', head('/small', 'Content-Length: +5') + smuggled],
      ['a negative length', head('/small', 'Content-Length: -1') + smuggled],
      ['a length in hex', head('/small', 'Content-Length: 0x5') + smuggled],
      ['a length with a space before the colon', head('/small', 'Content-Length : 5') + smuggled],
      ['an unknown coding', head('/small', 'Transfer-Encoding: xchunked') + smuggled],
      ['chunked not last', head('/small', 'Transfer-Encoding: chunked, identity') + smuggled],
      ['a bare LF', `POST /small HTTP/1.1\nHost: a\nContent-Length: 0\n\n${smuggled}`],
      ['a bare CR in a header', head('/small', 'X-A: b\rContent-Length: 5') + smuggled],
      ['a folded header', head('/small', 'X-A: b', ' Content-Length: 5') + smuggled],
      ['a NUL in a header', head('/small', 'X-A: b\0c') + smuggled],
      ['a chunk size that is none', `${head('/small', 'Transfer-Encoding: chunked')}zz\r\n`],
      [
        'a chunk longer than its size',
        `${head('/small', 'Transfer-Encoding: chunked')}1\r\nabc\r\n0\r\n\r\n`,
      ],
      [
        'a chunk size beyond numbers',
        `${head('/small', 'Transfer-Encoding: chunked')}fffffffffffffffff\r\n`,
      ],
      [
        'a bomb of chunk extensions',
        `${head('/small', 'Transfer-Encoding: chunked')}1;${'a'.repeat(20_000)}\r\n`,
      ],
      ['no version', 'GET /small\r\n\r\n'],
      ['version 2.0', 'GET /small HTTP/2.0\r\nHost: a\r\n\r\n'],
      ['no HTTP at all', '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03'],
      ['no Host', 'GET /small HTTP/1.1\r\nConnection: close\r\n\r\n'],
    ] as const) {
      it(what, async () => {
        const at = await limited();
        const { text } = await sendRaw(at, Buffer.from(request, 'latin1'));
        expect(text).to.match(/^HTTP\/1.1 (400|413|505) /);
        expect(text.match(/^HTTP\/1.1 \d/gm)).to.have.length(1);
        expect(bodyOf(text)).to.have.keys('error', 'cid');
        expect(at.calls).to.have.length(0);
        expect((await ask(at, 'GET', '/small')).status).to.equal(200);
      });
    }
  });

  it('serves HTTP/1.0', async () => {
    const at = await limited();
    const { text } = await sendRaw(at, 'GET /small HTTP/1.0\r\n\r\n');
    expect(text).to.match(/^HTTP\/1.1 200 /);
  });

  it('serves pipelined requests in their order', async () => {
    const at = await serving({ channels: { text: { path: '/t', dataFormat: 'text' } } });
    const one = (body: string) => `${head('/t', 'Content-Length: 1')}${body}`;
    const last = `${head('/t', 'Content-Length: 1', 'Connection: close')}3`;
    const { text } = await sendRaw(at, one('1') + one('2') + last);
    expect(text.match(/\r\n\r\n\d/g)?.map((found) => found.at(-1))).to.deep.equal(['1', '2', '3']);
  });

  describe('does not wait for', () => {
    const timeouts = {
      headersTimeout: 300,
      requestTimeout: 600,
      keepAliveTimeout: 300,
      connectionsCheckingInterval: 50,
    };
    const drip = (socket: Socket, text: string) => {
      let at = 0;
      const timer = setInterval(() => socket.write(text[at++ % text.length] ?? ''), 20);
      socket.on('error', () => undefined).on('close', () => clearInterval(timer));
    };

    it('headers that come byte by byte', async () => {
      const at = await serving({ timeouts });
      const startedAt = performance.now();
      const socket = connect(at.port, '127.0.0.1');
      const answer = once(socket, 'data') as Promise<[Buffer]>;
      const closed = once(socket, 'close');
      socket.write('GET /echo HTTP/1.1\r\nHost: a\r\n');
      drip(socket, 'X-A: b\r\n');
      const text = (await answer)[0].toString();
      expect(text).to.match(/^HTTP\/1.1 408 /);
      expect(bodyOf(text).error.code).to.equal('timeout');
      await closed;
      expect(performance.now() - startedAt).to.be.within(250, 300 + 500);
    });

    it('a body that comes byte by byte', async () => {
      const at = await serving({ timeouts });
      const startedAt = performance.now();
      const socket = connect(at.port, '127.0.0.1');
      const answer = once(socket, 'data') as Promise<[Buffer]>;
      const closed = once(socket, 'close');
      socket.write(head('/echo', 'Content-Length: 1000'));
      drip(socket, 'x');
      expect((await answer)[0].toString()).to.match(/^HTTP\/1.1 408 /);
      await closed;
      expect(performance.now() - startedAt).to.be.within(550, 600 + 500);
      expect(at.calls).to.have.length(0);
      await until(() => at.channels.inFlight === 0);
    });

    it('a connection that says nothing', async () => {
      const at = await serving({ timeouts });
      const { ms } = await sendRaw(at);
      expect(ms).to.be.below(300 + 500);
    });
  });
});

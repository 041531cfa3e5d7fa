import type { Socket } from 'node:net';
import { inspect } from 'node:util';
import { expect } from 'chai';
import { Fault } from '../../../runtime/core/fault.ts';
import { rejection } from '../../support/rejection.ts';
import { answering, connect, deadUrl, hostile, type RunningServer } from '../fixture.ts';
import { selfSignedServer } from '../tls-server.ts';

const head = 'HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n';

interface Case {
  readonly what: string;
  readonly server: () => Promise<RunningServer>;
  readonly code: string;
  readonly says: string;
  readonly spec?: Record<string, unknown>;
}

const late = { attemptTimeout: '250ms' };

const cases: readonly Case[] = [
  {
    what: 'closes the connection before it reads',
    server: () => hostile((socket) => socket.destroy()),
    code: 'unavailable',
    says: 'closed the connection before it had answered',
  },
  {
    what: 'resets the connection',
    server: () => hostile((socket) => socket.once('data', () => socket.resetAndDestroy())),
    code: 'unavailable',
    says: 'closed the connection before it had answered',
  },
  {
    what: 'ends after the request',
    server: () => hostile((socket) => socket.once('data', () => socket.end())),
    code: 'unavailable',
    says: 'closed the connection before it had answered',
  },
  {
    what: 'never answers',
    server: () => hostile(() => {}),
    code: 'timeout',
    says: 'did not answer in 250 ms',
    spec: late,
  },
  {
    what: 'stops in the middle of the headers',
    server: () => answering('HTTP/1.1 200 OK\r\nContent-Ty'),
    code: 'timeout',
    says: 'did not answer in 250 ms',
    spec: late,
  },
  {
    what: 'closes in the middle of the headers',
    server: () => answering('HTTP/1.1 200 OK\r\nContent-Ty', (socket) => socket.end()),
    code: 'unavailable',
    says: 'closed the connection before it had answered',
  },
  {
    what: 'hangs in the middle of the body',
    server: () => answering(`${head}Content-Length: 100\r\n\r\nhalf`),
    code: 'timeout',
    says: 'did not answer in 250 ms',
    spec: late,
  },
  {
    what: 'closes in the middle of the body',
    server: () => answering(`${head}Content-Length: 100\r\n\r\nhalf`, (socket) => socket.end()),
    code: 'unavailable',
    says: 'closed the connection before it had answered',
  },
  {
    what: 'trickles its body for ever',
    server: () => answering(`${head}Content-Length: 1000\r\n\r\n`, trickle),
    code: 'timeout',
    says: 'did not answer in 250 ms',
    spec: late,
  },
  {
    what: 'answers garbage',
    server: () => answering('lorem ipsum dolor sit amet\r\n\r\n'),
    code: 'unavailable',
    says: 'answered with something that is not HTTP',
  },
  {
    what: 'answers a broken chunk',
    server: () => answering(`${head}Transfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n0\r\n\r\n`),
    code: 'unavailable',
    says: 'answered with something that is not HTTP',
  },
  {
    what: 'answers a bomb of headers',
    server: () => answering(`HTTP/1.1 200 OK\r\n${`x-pad: ${'y'.repeat(1_000)}\r\n`.repeat(100)}`),
    code: 'unavailable',
    says: 'answered with more header bytes than are read',
  },
  {
    what: 'floods with 100 Continue',
    server: () => answering('HTTP/1.1 100 Continue\r\n\r\n'.repeat(1_000)),
    code: 'unavailable',
    says: 'closed the connection before it had answered',
  },
  {
    what: 'answers one byte more than may be read',
    server: () => answering(`${head}Content-Length: 1025\r\n\r\n${'x'.repeat(1_025)}`),
    code: 'unavailable',
    says: 'answered with more than 1024 bytes',
    spec: { maxResponse: 1_024 },
  },
  {
    what: 'answers without end',
    server: () => answering(`${head}Transfer-Encoding: chunked\r\n\r\n`, flood),
    code: 'unavailable',
    says: 'answered with more than 1024 bytes',
    spec: { maxResponse: 1_024 },
  },
];

function trickle(socket: Socket): void {
  const timer = setInterval(() => socket.write('x'), 50);
  socket.once('close', () => clearInterval(timer));
}

function flood(socket: Socket): void {
  const chunk = `1000\r\n${'x'.repeat(0x1000)}\r\n`;
  const more = () => {
    while (!socket.destroyed && socket.write(chunk));
  };
  socket.on('drain', more);
  more();
}

describe('An outgoing connection and a hostile server', () => {
  for (const { what, server: start, code, says, spec } of cases) {
    it(`fails clearly when the server ${what}`, async () => {
      const server = await start();
      const { connection } = connect({ url: server.url, path: '/in', ...spec });

      const error = await rejection(connection.send('cid-1', { a: 1 }));

      expect(error.message).to.equal(`Outgoing crm: ${server.url}/in ${says}`);
      expect(Fault.is(error) && error.code).to.equal(code);
      await connection.close();
      await server.stop();
    });
  }

  it('takes a reply of exactly the size that may be read', async () => {
    const server = await answering(`${head}Content-Length: 1024\r\n\r\n${'x'.repeat(1_024)}`);
    const { connection } = connect({ url: server.url, maxResponse: 1_024 });
    expect((await connection.send('cid-1')).text).to.have.lengthOf(1_024);
    await connection.close();
    await server.stop();
  });

  it('says that the connection was refused', async () => {
    const url = await deadUrl();
    const { connection } = connect({ url });
    const error = await rejection(connection.send('cid-1'));
    expect(error.message).to.equal(`Outgoing crm: ${url}/ refused the connection`);
    await connection.close();
  });

  it('says that the host has no address', async () => {
    const { connection } = connect({ url: 'http://nowhere.invalid' });
    const error = await rejection(connection.send('cid-1'));
    expect(error.message).to.equal(
      'Outgoing crm: http://nowhere.invalid/ has a host name that cannot be resolved',
    );
    await connection.close();
  });

  it('does not follow a redirect: it is a reply that is not ok', async () => {
    const server = await answering(
      'HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n',
    );
    const { connection } = connect({ url: server.url });
    const reply = await connection.send('cid-1');
    expect([reply.status, reply.ok, reply.headers['location']]).to.deep.equal([
      302,
      false,
      'http://127.0.0.1:1/',
    ]);
    await connection.close();
    await server.stop();
  });

  it('frees the socket of a call that timed out', async () => {
    const server = await hostile(() => {});
    const { connection } = connect({ url: server.url, pool: 1, timeout: '100ms', breaker: 'off' });
    await rejection(connection.send('cid-1'));
    await rejection(connection.send('cid-2'));
    expect(server.accepted()).to.equal(2);
    await connection.close();
    await server.stop();
  });

  it('replaces a kept socket that died, once, for a method that may be repeated', async () => {
    const server = await hostile((socket) => {
      socket.once('data', () => {
        socket.write(`${head}Content-Length: 2\r\n\r\nok`);
        socket.once('data', () => socket.resetAndDestroy());
      });
    });
    const { connection } = connect({ url: server.url, pool: 1 });
    await connection.get('cid-1');
    expect((await connection.get('cid-2')).text).to.equal('ok');
    expect(server.accepted()).to.equal(2);
    expect((await rejection(connection.post('cid-3'))).message).to.contain('closed the connection');
    expect(server.accepted()).to.equal(2);
    await connection.close();
    await server.stop();
  });

  it('does not replace a new socket that died', async () => {
    const server = await hostile((socket) => socket.once('data', () => socket.resetAndDestroy()));
    const { connection } = connect({ url: server.url, pool: 1 });
    await rejection(connection.get('cid-1'));
    expect(server.accepted()).to.equal(1);
    await connection.close();
    await server.stop();
  });

  it('fails closed on a certificate that nobody vouches for', async () => {
    const server = await selfSignedServer();
    const { url } = server;
    const { connection } = connect({ url });
    const error = await rejection(connection.send('cid-1'));
    expect(error.message).to.equal(
      `Outgoing crm: ${url}/ is not trusted: its TLS certificate is self-signed`,
    );
    await connection.close();
    await server.stop();
  });

  it('says so when the other side does not speak TLS', async () => {
    const server = await answering('HTTP/1.1 400 Bad Request\r\n\r\n', (socket) => socket.end());
    const url = server.url.replace('http:', 'https:');
    const { connection } = connect({ url });
    expect((await rejection(connection.send('cid-1'))).message).to.equal(
      `Outgoing crm: ${url}/ does not speak TLS as it should`,
    );
    await connection.close();
    await server.stop();
  });

  it('keeps secrets out of errors and logs, whatever the server echoes', async () => {
    const canaries = ['canary-password', 'canary-param', 'canary-body', 'canary-header'];
    const echoes: (() => Promise<RunningServer>)[] = [
      () => hostile((socket) => socket.once('data', (bytes) => socket.end(bytes))),
      () =>
        hostile((socket) =>
          socket.once('data', (bytes) => socket.write(`HTTP/1.1 200 OK\r\n${bytes}`)),
        ),
      () => hostile((socket) => socket.destroy()),
      () => hostile(() => {}),
    ];
    for (const start of echoes) {
      const server = await start();
      const { connection, log } = connect({
        url: server.url,
        path: '/{id}',
        timeout: '200ms',
        retry: { attempts: 2, delay: '1ms', on: ['reset', 'invalid'], methods: ['POST'] },
        auth: { type: 'basic', username: 'ann', password: 'canary-password' },
        headers: { 'x-api-key': 'canary-header' },
      });
      const request = { params: { id: 'canary-param', q: 'canary-param' } };
      const error = await rejection(connection.send('cid-1', { text: 'canary-body' }, request));
      const shown = inspect([error, log.lines, connection.state()], { depth: 10 });
      const encoded = Buffer.from('ann:canary-password').toString('base64');
      for (const canary of [...canaries, encoded]) expect(shown).not.to.contain(canary);
      await connection.close();
      await server.stop();
    }
  });
});

import { once } from 'node:events';
import { request } from 'node:http';
import { connect } from 'node:net';
import { expect } from 'chai';
import { Fault, type FaultCode } from '../../../runtime/core/fault.ts';
import { httpStatus } from '../../../runtime/core/http-status.ts';
import type { Reply } from '../../../runtime/service/call.ts';
import { until } from '../../support/until.ts';
import { ask, type Given, reply, sendRaw, serving, stopAll, type World } from './fixture.ts';

describe('A channel answers', () => {
  afterEach(stopAll);

  const answering = (given: Partial<Reply>, spec: Given = {}): Promise<World> =>
    serving({
      channels: { it: { path: '/it', ...spec } },
      service: () => reply(given.payload, given),
    });
  const failing = (thrown: unknown, spec: Given = {}): Promise<World> =>
    serving({
      channels: { it: { path: '/it', ...spec } },
      service: () => {
        throw thrown;
      },
    });

  for (const [what, format, payload, body, type] of [
    ['an object', 'json', { a: [1, 'ł'] }, '{"a":[1,"ł"]}', 'application/json'],
    ['an object', 'form', { a: 1 }, '{"a":1}', 'application/json'],
    ['false', 'json', false, 'false', 'application/json'],
    ['zero', 'text', 0, '0', 'application/json'],
    ['JSON text', 'json', '{"status":1}', '{"status":1}', 'application/json'],
    ['text', 'text', 'hello ł', 'hello ł', 'text/plain; charset=utf-8'],
    ['text', 'raw', 'hello', 'hello', 'text/plain; charset=utf-8'],
    ['bytes', 'json', Buffer.from('abc'), 'abc', 'application/octet-stream'],
    ['a view of bytes', 'raw', Buffer.from('abc').subarray(1), 'bc', 'application/octet-stream'],
    ['an empty text', 'text', '', '', 'text/plain; charset=utf-8'],
    ['nothing', 'json', undefined, '', undefined],
    ['null', 'json', null, '', undefined],
    [
      'a BigInt',
      'json',
      { n: 12345678901234567890n },
      '{"n":12345678901234567890}',
      'application/json',
    ],
  ] as const) {
    it(`${what} on a ${format} channel`, async () => {
      const at = await answering({ payload }, { dataFormat: format });
      const answer = await ask(at, 'GET', '/it');
      expect([answer.status, answer.text]).to.deep.equal([200, body]);
      expect(answer.headers['content-type']).to.equal(type);
      expect(answer.headers['content-length']).to.equal(String(Buffer.byteLength(body)));
    });
  }

  it('with the service\u2019s status, type and headers before the channel\u2019s', async () => {
    const at = await answering(
      {
        payload: '<a/>',
        statusCode: 201,
        contentType: 'application/xml',
        headers: {
          'X-Both': 'service',
          'x-service': '1',
          'Content-Length': '999',
          Connection: 'x',
        },
      },
      { headers: { 'x-both': 'channel', 'X-Channel': '2', 'Content-Type': 'text/html' } },
    );
    const { status, headers, text } = await ask(at, 'GET', '/it');
    expect([status, text]).to.deep.equal([201, '<a/>']);
    expect(headers).to.include({
      'content-type': 'application/xml',
      'x-both': 'service',
      'x-service': '1',
      'x-channel': '2',
      'content-length': '4',
    });
  });

  it('with a content type of the channel where the service gave none', async () => {
    const at = await answering({ payload: '<p>' }, { headers: { 'Content-Type': 'text/html' } });
    expect((await ask(at, 'GET', '/it')).headers['content-type']).to.equal('text/html');
  });

  for (const statusCode of [204, 304]) {
    it(`${statusCode} without a body, and the connection goes on`, async () => {
      const at = await answering({ payload: { ignored: 1 }, statusCode });
      const one = 'GET /it HTTP/1.1\r\nHost: a\r\n';
      const { text } = await sendRaw(at, `${one}\r\n${one}Connection: close\r\n\r\n`);
      expect(text.match(new RegExp(`HTTP/1.1 ${statusCode}`, 'g'))).to.have.length(2);
      expect(text).not.to.match(/content-length|ignored/i);
    });
  }

  const cyclic: { self?: unknown } = {};
  cyclic.self = cyclic;
  for (const [what, given] of [
    ['a header that would split the reply', { headers: { 'X-A': 'b\r\nSet-Cookie: c' } }],
    ['a header name that is none', { headers: { 'X A': 'b' } }],
    ['a content type with a line break', { contentType: 'text/plain\r\nX: y' }],
    ['a status that is none', { statusCode: 99 }],
    ['a status that is no number', { statusCode: Number.NaN }],
    ['a cycle', { payload: cyclic }],
    ['a function', { payload: () => 1 }],
  ] as const) {
    it(`500 for ${what}, and serves on`, async () => {
      let given500: Partial<Reply> = given;
      const at = await serving({
        channels: { it: { path: '/it' } },
        service: () => reply(undefined, given500),
      });
      const answer = await ask(at, 'GET', '/it');
      expect(answer.status).to.equal(500);
      expect(answer.json()).to.have.nested.property('error.code', 'internal');
      expect(answer.headers).not.to.have.any.keys('set-cookie', 'x');
      expect(at.log.lines.filter(({ level }) => level === 'error')).to.have.length(1);
      given500 = {};
      expect((await ask(at, 'GET', '/it')).status).to.equal(200);
    });
  }

  describe('a Fault', () => {
    for (const [code, status] of Object.entries(httpStatus)) {
      it(`${code} with ${status}`, async () => {
        const at = await failing(new Fault(code as FaultCode, 'A sentence', { details: { a: 1 } }));
        const answer = await ask(at, 'GET', '/it');
        expect(answer.status).to.equal(status);
        const shown = code === 'internal' ? {} : { details: { a: 1 } };
        expect(answer.json()).to.deep.equal({
          error: { code, message: 'A sentence', ...shown },
          cid: answer.headers['x-hence-cid'],
        });
      });
    }

    it('with Retry-After in whole seconds', async () => {
      const at = await failing(new Fault('too-many', 'Slower', { retryAfterMs: 1_001 }));
      expect((await ask(at, 'GET', '/it')).headers['retry-after']).to.equal('2');
    });

    it('with Allow when the service does not take the method', async () => {
      const details = { allow: ['GET', 'PUT'] };
      const at = await failing(new Fault('method-not-allowed', 'No', { details }));
      expect((await ask(at, 'POST', '/it')).headers.allow).to.equal('GET, PUT');
    });

    it('even when its details are not JSON', async () => {
      const at = await failing(new Fault('bad-request', 'Odd', { details: cyclic }));
      expect((await ask(at, 'GET', '/it')).json()).to.have.nested.property('error.message', 'Odd');
    });
  });

  it('a bug with 500 and no word of it, which is for the log', async () => {
    for (const thrown of [new TypeError('secret in /srv/app.ts'), 'secret', undefined]) {
      const at = await failing(thrown);
      const answer = await ask(at, 'GET', '/it');
      expect(answer.status).to.equal(500);
      expect(answer.text).not.to.match(/secret|\.ts|at /);
      const [line] = at.log.lines.filter(({ level }) => level === 'error');
      expect(line?.message).to.equal('request failed');
      expect(line?.facts).to.include({ channel: 'it', service: 'test.echo', status: 500 });
      if (thrown instanceof Error) expect(line?.facts['error']).to.equal(thrown);
    }
  });

  it('with one line in the log: debug for the caller\u2019s faults, warn for what is down', async () => {
    for (const [code, level] of [
      ['not-found', 'debug'],
      ['unavailable', 'warn'],
      ['timeout', 'warn'],
    ] as const) {
      const at = await failing(new Fault(code, 'A sentence'));
      await ask(at, 'GET', '/it');
      expect(at.log.lines.map((line) => [line.level, line.message])).to.deep.equal([
        [level, 'request failed'],
      ]);
      expect(at.log.lines[0]?.facts).to.include({ reason: 'A sentence', code, path: '/it' });
    }
  });

  it('with one debug line when it went well', async () => {
    const at = await serving();
    const answer = await ask(at, 'GET', '/echo?token=x');
    expect(at.log.lines).to.have.length(1);
    expect(at.log.lines[0]).to.deep.include({ level: 'debug', message: 'request served' });
    expect(at.log.lines[0]?.facts).to.include({
      cid: answer.headers['x-hence-cid'],
      method: 'GET',
      path: '/echo',
      status: 200,
    });
  });

  describe('in time', () => {
    it('504 when the service does not, whose signal says so', async () => {
      let reason: unknown;
      const at = await serving({
        channels: { it: { path: '/it', timeout: '50ms' } },
        service: ({ signal }) =>
          new Promise(() => {
            signal?.addEventListener('abort', () => {
              reason = signal.reason;
            });
          }),
      });
      const answer = await ask(at, 'GET', '/it');
      expect(answer.status).to.equal(504);
      expect(answer.text).to.include('Channel it: service test.echo did not answer in 50 ms');
      expect(reason).to.have.property('code', 'timeout');
      expect(at.calls[0]?.timeoutMs).to.equal(50);
    });

    it('and drops what comes after', async () => {
      let settle: (reply: Reply) => void = () => undefined;
      const at = await serving({
        channels: { it: { path: '/it', timeout: '20ms' } },
        service: () => new Promise((resolve) => (settle = resolve)),
      });
      expect((await ask(at, 'GET', '/it')).status).to.equal(504);
      settle(reply('late'));
      await until(() => at.channels.inFlight === 0);
      expect(at.log.lines).to.have.length(1);
    });
  });

  it('nobody who has gone: the call\u2019s signal is aborted', async () => {
    let aborted = 0;
    let settle: (reply: Reply) => void = () => undefined;
    const at = await serving({
      service: ({ signal }) => {
        signal?.addEventListener('abort', () => aborted++);
        return new Promise((resolve) => (settle = resolve));
      },
    });
    const req = request({ port: at.port, path: '/echo', agent: false });
    req.on('error', () => undefined).end();
    await until(() => at.calls.length === 1);
    req.destroy();
    await until(() => aborted === 1);
    settle(reply('too late'));
    await until(() => at.channels.inFlight === 0);
    expect(at.log.lines.map(({ message }) => message)).to.deep.equal(['request abandoned']);
    expect(at.calls[0]?.signal?.aborted).to.equal(true);
  });

  it('nobody who hangs up in the middle of a body', async () => {
    const at = await serving();
    const socket = connect(at.port, '127.0.0.1');
    await once(socket, 'connect');
    socket.write('POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n{"a"');
    await until(() => at.channels.inFlight === 1);
    socket.destroy();
    await until(() => at.channels.inFlight === 0);
    expect(at.calls).to.have.length(0);
    expect(at.log.lines.every(({ level }) => level === 'debug')).to.equal(true);
  });
});

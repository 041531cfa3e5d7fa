import type { IncomingMessage, ServerResponse } from 'node:http';
import { expect } from 'chai';
import { Fault } from '../../../runtime/core/fault.ts';
import type { OutgoingReply } from '../../../runtime/service/ports.ts';
import { rejection } from '../../support/rejection.ts';
import { until } from '../../support/until.ts';
import { connect, deadUrl, env, httpServer, type RunningServer, steppedClock } from '../fixture.ts';

interface Seen {
  readonly method: string | undefined;
  readonly url: string | undefined;
  readonly headers: IncomingMessage['headers'];
  readonly body: string;
}

/** Answers each request with the next of the answers, the last one for ever. */
async function scripted(...answers: ((response: ServerResponse, seen: Seen) => void)[]) {
  const seen: Seen[] = [];
  const server = await httpServer(async (request, response) => {
    let body = '';
    for await (const chunk of request) body += chunk;
    const { method, url, headers } = request;
    const one = { method, url, headers, body };
    seen.push(one);
    (answers[seen.length - 1] ?? answers.at(-1))?.(response, one);
  });
  return { seen, server, url: server.url };
}

const answer =
  (status: number, body = '', headers: Record<string, string> = {}) =>
  (response: ServerResponse) => {
    response.writeHead(status, headers).end(body);
  };
const ok = answer(200, 'ok');
const json = { 'content-type': 'application/json' };

async function closing(
  server: RunningServer,
  ...connections: { close(): Promise<void> }[]
): Promise<void> {
  await Promise.all(connections.map((connection) => connection.close()));
  await server.stop();
}

function faultOf(error: Error): Fault {
  if (Fault.is(error)) return error;
  throw error;
}

describe('An outgoing connection', () => {
  it('fills the path, encoded, and gives the rest of the params to the query', async () => {
    const { seen, server, url } = await scripted(ok);
    const { connection } = connect({ url: `${url}/v1/`, path: '/users/{id}/x' });
    await connection.get('cid-1', { params: { id: 'a/b ü', q: 'x&y', n: 1 } });
    expect(seen[0]?.url).to.equal('/v1/users/a%2Fb%20%C3%BC/x?q=x%26y&n=1');
    await closing(server, connection);
  });

  for (const params of [{}, { id: '' }, { id: '..' }, { id: '.' }]) {
    it(`refuses to call with the path param ${JSON.stringify(params)}`, async () => {
      const { connection } = connect({ url: 'http://127.0.0.1:1', path: '/users/{id}' });
      const fault = faultOf(await rejection(connection.get('cid-1', { params })));
      expect(fault.code).to.equal('bad-request');
      expect(fault.message).to.equal('Outgoing crm: the path /users/{id} needs the param "id"');
      await connection.close();
    });
  }

  it('sends by each method, with the cid, its headers and its credentials', async () => {
    const { seen, server, url } = await scripted(ok);
    const { connection } = connect(
      {
        url,
        method: 'PATCH',
        headers: { 'X-Env': env('STAGE'), 'X-Own': 'mine' },
        auth: { type: 'basic', username: 'ann', password: env('PW') },
      },
      { env: { STAGE: 'prod', PW: 'sesame' } },
    );
    const request = { headers: { 'X-Own': 'theirs' } };
    await connection.send('cid-1', { a: 1 }, request);
    await connection.get('cid-2');
    await connection.post('cid-3', 'x');
    await connection.put('cid-4', 'x');
    await connection.patch('cid-5', 'x');
    await connection.delete('cid-6');
    expect(seen.map(({ method }) => method)).to.deep.equal([
      'PATCH',
      'GET',
      'POST',
      'PUT',
      'PATCH',
      'DELETE',
    ]);
    expect(seen.map(({ headers }) => headers['x-hence-cid'])).to.deep.equal(
      [1, 2, 3, 4, 5, 6].map((number) => `cid-${number}`),
    );
    expect(seen[0]?.headers).to.include({
      'x-env': 'prod',
      'x-own': 'theirs',
      'content-type': 'application/json',
      authorization: `Basic ${Buffer.from('ann:sesame').toString('base64')}`,
    });
    expect(seen[1]?.headers['content-type']).to.equal(undefined);
    await closing(server, connection);
  });

  it('names the variable that a secret needs and nobody has set', async () => {
    const { connection } = connect({
      url: 'http://127.0.0.1:1',
      auth: { type: 'header', name: 'X-Key', value: env('CRM_KEY') },
    });
    const fault = faultOf(await rejection(connection.send('cid-1')));
    expect(fault.message).to.equal(
      'outgoing/crm/value: the environment variable CRM_KEY is not set',
    );
    await connection.close();
  });

  const bodies: [string, unknown, string, string][] = [
    ['json', { a: [1, null] }, '{"a":[1,null]}', 'application/json'],
    ['json', '{"raw":1}', '{"raw":1}', 'application/json'],
    ['json', new URLSearchParams({ a: 'x y' }), 'a=x+y', 'application/x-www-form-urlencoded'],
    [
      'form',
      { a: 1, b: ['x', 'y'], c: undefined, d: null },
      'a=1&b=x&b=y',
      'application/x-www-form-urlencoded',
    ],
    ['text', 42, '42', 'text/plain; charset=utf-8'],
    ['raw', Buffer.from('bytes'), 'bytes', 'application/octet-stream'],
    ['raw', new Uint8Array([111, 107]), 'ok', 'application/octet-stream'],
  ];
  for (const [dataFormat, data, body, type] of bodies) {
    it(`sends ${JSON.stringify(data)} as ${type} for ${dataFormat}`, async () => {
      const { seen, server, url } = await scripted(ok);
      const { connection } = connect({ url, dataFormat });
      await connection.send('cid-1', data);
      expect(seen[0]?.body).to.equal(body);
      expect(seen[0]?.headers['content-type']).to.equal(type);
      await closing(server, connection);
    });
  }

  const impossible: [string, unknown][] = [
    ['json', 1n],
    ['json', () => 1],
    ['form', { a: { b: 1 } }],
    ['form', [1]],
    ['text', { a: 1 }],
    ['raw', { a: 1 }],
  ];
  for (const [dataFormat, data] of impossible) {
    it(`refuses a value that ${dataFormat} cannot carry: ${typeof data}`, async () => {
      const { connection } = connect({ url: 'http://127.0.0.1:1', dataFormat });
      const fault = faultOf(await rejection(connection.send('cid-1', data)));
      expect(fault.code).to.equal('bad-request');
      expect(fault.message).to.contain(`its data format ${dataFormat} cannot carry this value`);
      await connection.close();
    });
  }

  it('refuses data for a GET and a header that is none', async () => {
    const { connection } = connect({ url: 'http://127.0.0.1:1', method: 'GET' });
    expect(faultOf(await rejection(connection.send('cid-1', {}))).code).to.equal('bad-request');
    const request = { headers: { 'x-a': 'b\r\nx-c: d' } };
    const fault = faultOf(await rejection(connection.get('cid-1', request)));
    expect(fault.code).to.equal('bad-request');
    await connection.close();
  });

  it('gives status, headers, text and data by what the reply says it is', async () => {
    const { server, url } = await scripted(
      answer(201, '{"a":1}', json),
      answer(200, 'a=1&b=2&b=3', { 'content-type': 'application/x-www-form-urlencoded' }),
      answer(200, 'plain', { 'content-type': 'text/plain' }),
      answer(200, '{"b":2}'),
      answer(500, 'not json', { ...json, 'set-cookie': 'a=1' }),
    );
    const { connection } = connect({ url, breaker: 'off' });
    const replies: OutgoingReply[] = [];
    for (let call = 0; call < 5; call++) replies.push(await connection.send('cid-1'));
    expect(replies.map(({ data }) => data)).to.deep.equal([
      { a: 1 },
      Object.assign(Object.create(null), { a: '1', b: ['2', '3'] }),
      'plain',
      { b: 2 },
      'not json',
    ]);
    expect(replies.map(({ ok: good, status }) => [good, status])).to.deep.equal([
      [true, 201],
      [true, 200],
      [true, 200],
      [true, 200],
      [false, 500],
    ]);
    expect(replies[4]?.headers['set-cookie']).to.equal('a=1');
    expect(() => replies[2]?.json()).to.throw(
      Fault,
      'Outgoing crm: its reply (status 200) is not JSON',
    );
    await closing(server, connection);
  });

  it('gives the bytes of a raw reply', async () => {
    const { server, url } = await scripted((response) => response.end(Buffer.from([0, 255])));
    const { connection } = connect({ url, dataFormat: 'raw' });
    expect((await connection.send('cid-1')).data).to.deep.equal(Buffer.from([0, 255]));
    await closing(server, connection);
  });

  it('opens no more sockets than its pool, and keeps them', async () => {
    const { server, url } = await scripted(ok);
    const { connection } = connect({ url, pool: 2 });
    await Promise.all(Array.from({ length: 20 }, () => connection.send('cid-1')));
    await connection.send('cid-2');
    expect(server.accepted()).to.equal(2);
    await closing(server, connection);
  });

  it('ends the call when its caller gives up, without blaming the other side', async () => {
    const { server, url } = await scripted(() => {});
    const { connection } = connect({ url, breaker: { failures: 1 } });
    const caller = new AbortController();
    const call = rejection(connection.send('cid-1', undefined, { signal: caller.signal }));
    await until(() => server.sockets.size === 1);
    caller.abort();
    expect((await call).message).to.equal('Outgoing crm: given up by its caller');
    expect(connection.state().breaker).to.equal('closed');
    await closing(server, connection);
  });

  it('keeps a shorter time when the caller asks for one', async () => {
    const { server, url } = await scripted(() => {});
    const { connection } = connect({ url });
    const fault = faultOf(await rejection(connection.send('cid-1', undefined, { timeoutMs: 50 })));
    expect([fault.code, fault.message]).to.deep.equal([
      'timeout',
      `Outgoing crm: ${url}/ did not answer in 50 ms`,
    ]);
    await closing(server, connection);
  });

  it('refuses to call while it is disabled', async () => {
    const { connection } = connect({ url: 'http://127.0.0.1:1', enabled: false });
    expect((await rejection(connection.send('cid-1'))).message).to.equal(
      'Outgoing crm: it is disabled',
    );
    await connection.close();
  });

  it('calls its stand-in instead, wherever that is now', async () => {
    const first = await scripted(ok);
    const second = await scripted(ok);
    let at: string | undefined;
    const { connection } = connect(
      { url: 'https://real.example/v1', path: '/in', mode: 'standin', standin: 'fake' },
      { standinUrl: (name) => (name === 'fake' ? at : undefined) },
    );
    const absent = await rejection(connection.send('cid-1'));
    at = first.url;
    await connection.send('cid-2');
    at = second.url;
    await connection.send('cid-3');
    expect(absent.message).to.equal('Outgoing crm: no stand-in fake is running');
    expect([first.seen[0]?.url, second.seen[0]?.url]).to.deep.equal(['/v1/in', '/v1/in']);
    await closing(first.server, connection);
    await second.server.stop();
  });

  it('lets calls in flight end when it is closed, and takes no new ones', async () => {
    const held: ServerResponse[] = [];
    const { server, url } = await scripted((response) => held.push(response));
    const { connection } = connect({ url });
    const call = connection.send('cid-1');
    await until(() => held.length === 1);
    const closed = connection.close();
    expect((await rejection(connection.send('cid-2'))).message).to.equal(
      'Outgoing crm: it was changed or removed',
    );
    expect(connection.state().inFlight).to.equal(1);
    held[0]?.end('late');
    expect((await call).text).to.equal('late');
    await closed;
    await server.stop();
  });
});

describe('The ping of an outgoing connection', () => {
  it('tells the status and whether it is the expected one', async () => {
    const { seen, server, url } = await scripted(answer(404));
    const alive = connect({ url: `${url}/v1` }).connection;
    const strict = connect({
      url,
      ping: { path: '/health', method: 'GET', expect: 200 },
    }).connection;
    const first = await alive.ping('cid-1');
    const second = await strict.ping('cid-2');
    expect({ ...first, ms: 0 }).to.deep.equal({
      connection: 'crm',
      url: `${url}/v1/`,
      ok: true,
      status: 404,
      ms: 0,
    });
    expect([second.ok, second.error]).to.deep.equal([false, 'answered 404, not 200']);
    expect(seen.map(({ method, url: path }) => `${method} ${path}`)).to.deep.equal([
      'HEAD /v1/',
      'GET /health',
    ]);
    await closing(server, alive, strict);
  });

  it('tells why there was no answer, instead of throwing', async () => {
    const url = await deadUrl();
    const { connection } = connect({ url });
    const result = await connection.ping('cid-1');
    expect([result.ok, result.status, result.error]).to.deep.equal([
      false,
      undefined,
      `Outgoing crm: ${url}/ refused the connection`,
    ]);
    await connection.close();
  });
});

describe('The retries of an outgoing connection', () => {
  const retry = {
    attempts: 3,
    delay: '5s',
    maxDelay: '8s',
    on: ['5xx', 'connect', 'invalid'],
    methods: ['POST'],
  };

  it('repeat what the policy names, each time after a longer wait, and log it', async () => {
    const { seen, server, url } = await scripted(answer(500), answer(503), ok);
    const clock = steppedClock();
    const { connection, log } = connect({ url, timeout: '1m', retry }, { clock });
    expect((await connection.send('cid-1', { a: 1 })).text).to.equal('ok');
    expect(seen.map(({ body }) => body)).to.deep.equal(Array(3).fill('{"a":1}'));
    expect(clock.waits).to.deep.equal([5_000, 8_000]);
    expect(log.lines.map(({ facts }) => facts['reason'])).to.deep.equal([
      'status 500',
      'status 503',
    ]);
    await closing(server, connection);
  });

  it('give the last reply when the tries are used up', async () => {
    const { seen, server, url } = await scripted(answer(500, 'sorry'));
    const { connection } = connect({ url, timeout: '1m', retry }, { clock: steppedClock() });
    const reply = await connection.send('cid-1');
    expect([reply.status, reply.text, seen.length]).to.deep.equal([500, 'sorry', 3]);
    await closing(server, connection);
  });

  it('say how many tries there were when none brought a reply', async () => {
    const url = await deadUrl();
    const { connection } = connect({ url, timeout: '1m', retry }, { clock: steppedClock() });
    const error = await rejection(connection.send('cid-1'));
    expect(error.message).to.equal(`Outgoing crm: ${url}/ refused the connection (3 tries)`);
    await connection.close();
  });

  it('never repeat a method that is not listed, nor a status that is not', async () => {
    const { seen, server, url } = await scripted(answer(500), answer(400));
    const { connection } = connect({ url, timeout: '1m', retry }, { clock: steppedClock() });
    await connection.get('cid-1');
    await connection.post('cid-2');
    expect(seen).to.have.lengthOf(2);
    await closing(server, connection);
  });

  it('do not begin what could not begin before the deadline', async () => {
    const { seen, server, url } = await scripted(answer(500));
    const { connection } = connect({ url, timeout: '5s', retry }, { clock: steppedClock() });
    expect((await connection.send('cid-1')).status).to.equal(500);
    expect(seen).to.have.lengthOf(1);
    await closing(server, connection);
  });

  it('wait as long as Retry-After says, if that is longer', async () => {
    const { server, url } = await scripted(answer(503, '', { 'retry-after': '9' }), ok);
    const clock = steppedClock();
    const { connection } = connect({ url, timeout: '1m', retry }, { clock });
    await connection.send('cid-1');
    expect(clock.waits).to.deep.equal([9_000]);
    await closing(server, connection);
  });

  it('repeat a success whose JSON is broken, where the policy names invalid', async () => {
    const { seen, server, url } = await scripted(
      answer(200, '{"a":', json),
      answer(200, '{}', json),
    );
    const { connection } = connect({ url, timeout: '1m', retry }, { clock: steppedClock() });
    expect((await connection.send('cid-1')).data).to.deep.equal({});
    expect(seen).to.have.lengthOf(2);
    await closing(server, connection);
  });

  it('repeat a try that took its own time, within the time of the whole call', async () => {
    const { seen, server, url } = await scripted(() => {}, ok);
    const policy = { attempts: 2, delay: '1ms', on: ['timeout'] };
    const { connection } = connect({ url, attemptTimeout: '100ms', retry: policy });
    expect((await connection.get('cid-1')).text).to.equal('ok');
    expect(seen).to.have.lengthOf(2);
    await closing(server, connection);
  });
});

describe('The breaker of an outgoing connection', () => {
  it('opens after so many failures in a row, and says when it tries again', async () => {
    const { seen, server, url } = await scripted(answer(500), answer(500), ok, answer(500));
    const { connection } = connect({ url, breaker: { failures: 3, reset: '30s' } });
    for (let call = 0; call < 6; call++) await connection.send('cid-1');
    const fault = faultOf(await rejection(connection.send('cid-1')));
    expect(fault.code).to.equal('unavailable');
    expect(fault.message).to.match(
      /^Outgoing crm: its breaker is open, next try in (30|29\.\d) s$/,
    );
    expect(fault.retryAfterMs).to.be.within(29_000, 30_000);
    expect(seen).to.have.lengthOf(6);
    expect(connection.state().breaker).to.equal('open');
    await closing(server, connection);
  });

  it('closes again when one call that may try succeeds', async () => {
    const { server, url } = await scripted(answer(500), ok);
    const { connection } = connect({ url, breaker: { failures: 1, reset: '50ms' } });
    await connection.send('cid-1');
    expect(connection.state().breaker).to.equal('open');
    await until(() => connection.state().breaker === 'half-open');
    expect((await connection.send('cid-2')).text).to.equal('ok');
    expect(connection.state().breaker).to.equal('closed');
    await closing(server, connection);
  });

  it('lets only one call try, and opens again when that fails', async () => {
    const held: ServerResponse[] = [];
    const { server, url } = await scripted(answer(500), (response) => held.push(response));
    const { connection } = connect({ url, breaker: { failures: 1, reset: '50ms' } });
    await connection.send('cid-1');
    await until(() => connection.state().breaker === 'half-open');
    const probe = connection.send('cid-2');
    await until(() => held.length === 1);
    expect((await rejection(connection.send('cid-3'))).message).to.equal(
      'Outgoing crm: its breaker is open, one call is trying it now',
    );
    held[0]?.writeHead(500).end();
    await probe;
    expect(connection.state().breaker).to.equal('open');
    await closing(server, connection);
  });

  it('is not moved by refusals, and keeps the last error for who looks', async () => {
    const { server, url } = await scripted(answer(400));
    const { connection } = connect({ url, breaker: { failures: 1 } }, { clock: steppedClock(0) });
    await connection.send('cid-1');
    await rejection(connection.get('cid-1', { headers: { 'bad header': 'x' } }));
    expect(connection.state()).to.deep.equal({
      breaker: 'closed',
      inFlight: 0,
      lastError: {
        at: '1970-01-01T00:00:00.000Z',
        message: `Outgoing crm: ${url}/ cannot be sent such a header or path`,
      },
    });
    await closing(server, connection);
  });
});

describe('A connection that was told to wait', () => {
  const waits: [string, Record<string, string>, number][] = [
    ['as many seconds as Retry-After says', { 'retry-after': '30' }, 30_000],
    [
      'until the date Retry-After says',
      { 'retry-after': 'Thu, 15 Jan 2026 00:02:00 GMT' },
      120_000,
    ],
    [
      'until the Unix time in its own header',
      { 'x-reset': '1768435210', 'retry-after': '1' },
      10_000,
    ],
    ['a while where neither is there', {}, 60_000],
    ['32 days at most', { 'x-reset': '9999999999' }, 32 * 86_400_000],
  ];
  for (const [how, headers, ms] of waits) {
    it(`sends nothing ${how}`, async () => {
      const { seen, server, url } = await scripted(answer(429, '', headers), ok);
      const clock = steppedClock(Date.UTC(2026, 0, 15));
      const { connection } = connect({ url, park: { header: 'X-Reset' } }, { clock });
      expect((await connection.send('cid-1')).status).to.equal(429);
      clock.advance(ms - 1);
      const fault = faultOf(await rejection(connection.send('cid-2')));
      expect([fault.code, fault.retryAfterMs]).to.deep.equal(['too-many', 1]);
      clock.advance(1);
      expect((await connection.send('cid-3')).text).to.equal('ok');
      expect(seen).to.have.lengthOf(2);
      await closing(server, connection);
    });
  }

  it('pauses after so many refusals in a while, and alarms once', async () => {
    const { seen, server, url } = await scripted(answer(400));
    const clock = steppedClock();
    const banGuard = { refusals: 3, within: '60s', pause: '5m' };
    const { connection, log } = connect({ url, banGuard }, { clock });
    await connection.send('cid-1');
    clock.advance(60_000);
    await connection.send('cid-2');
    await connection.send('cid-3');
    expect((await connection.send('cid-4')).status).to.equal(400);
    const fault = faultOf(await rejection(connection.send('cid-5')));
    expect(fault.message).to.equal(
      'Outgoing crm: paused after 3 refusals in 1 min, next try in 5 min',
    );
    expect(log.lines.filter(({ level }) => level === 'error')).to.have.lengthOf(1);
    clock.advance(300_000);
    await connection.send('cid-6');
    expect(seen).to.have.lengthOf(5);
    await closing(server, connection);
  });
});

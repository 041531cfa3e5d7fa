// biome-ignore-all lint/suspicious/noTemplateCurlyInString: it is the syntax of a configuration file
import { once } from 'node:events';
import { readFile, stat, writeFile } from 'node:fs/promises';
import { type IncomingMessage, request } from 'node:http';
import { createConnection, createServer } from 'node:net';
import { join } from 'node:path';
import { expect } from 'chai';
import fc from 'fast-check';
import type { ErrorBody } from '../../../runtime/admin/api.ts';
import { faultFrom, until } from '../../config/fixture.ts';
import { AdminBench, type Answer, service } from './fixture.ts';

const door = (path: string) => ({ path, service: 'a.b' });

function errorOf({ json, headers }: Answer): ErrorBody['error'] {
  const body = json as ErrorBody;
  expect(body.cid).to.equal(headers['x-hence-cid']);
  expect(Object.keys(body)).to.deep.equal(['error', 'cid']);
  return body.error;
}

describe('The admin API', () => {
  let bench: AdminBench;

  before(async () => {
    bench = await AdminBench.open();
  });
  after(() => bench.close());
  beforeEach(() => bench.clear());

  describe('at its door', () => {
    it('answers health without token and Host', async () => {
      const headers = { host: 'pod.cluster' };
      const alive = await bench.ask('GET', '/healthz', { anonymous: true, headers });
      expect(alive.status).to.equal(200);
      const ready = await bench.ask('GET', '/readyz', { anonymous: true, headers });
      expect([ready.status, ready.json]).to.deep.equal([200, { ready: true, reasons: [] }]);
      bench.ready = false;
      const not = await bench.ask('GET', '/readyz', { anonymous: true });
      bench.ready = true;
      expect([not.status, not.json]).to.deep.equal([503, { ready: false, reasons: ['no worker'] }]);
    });

    it('wants the token, whatever the path', async () => {
      const right = bench.token;
      const wrong = ['', 'Bearer', 'Bearer ', `Bearer ${right}x`, `Bearer ${right.slice(1)}`];
      wrong.push(`Basic ${right}`, right, `Bearer ${right.toLowerCase()}`, `Bearer ${right} x`);
      for (const authorization of wrong) {
        for (const path of ['/api/services', '/nothing', '/healthz/']) {
          const reply = await bench.ask('GET', path, {
            anonymous: true,
            headers: { authorization },
          });
          expect(reply.status, authorization).to.equal(401);
          expect(errorOf(reply).code).to.equal('unauthorized');
          expect(reply.headers['www-authenticate']).to.match(/^Bearer/);
        }
      }
      const none = await bench.ask('OPTIONS', '/api/services', { anonymous: true });
      expect(none.status).to.equal(401);
    });

    it('takes the names of this machine as Host, with its own port', async () => {
      for (const name of ['127.0.0.1', 'localhost', 'LocalHost', '[::1]']) {
        const headers = { host: `${name}:${bench.port}` };
        expect((await bench.ask('GET', '/api/services', { headers })).status, name).to.equal(200);
      }
    });

    it('refuses every other Host, even with the token', async () => {
      const { port } = bench;
      const hosts = [
        ...['localhost', '127.0.0.1', `127.0.0.1:${port + 1}`, `evil.example:${port}`],
        ...[`localhost.evil.example:${port}`, `127.0.0.1.nip.io:${port}`, `127.1:${port}`],
        ...[`0.0.0.0:${port}`, `localhost.:${port}`, `user@localhost:${port}`, `[::]:${port}`],
        ...[`127.0.0.1:${port}, evil`, `evil, 127.0.0.1:${port}`, `localhost:0${port}`, `:${port}`],
        `[::ffff:127.0.0.1]:${port}`,
      ];
      for (const host of hosts) {
        const reply = await bench.ask('GET', '/api/services', { headers: { host } });
        expect(reply.status, host).to.equal(403);
        expect(errorOf(reply).code).to.equal('forbidden');
      }
      const forwarded = { host: 'evil.example', 'x-forwarded-host': `localhost:${port}` };
      const reply = await bench.ask('GET', '/api/services', { headers: forwarded });
      expect(reply.status).to.equal(403);
    });

    it('refuses any Host that is not exactly right', async () => {
      const text = fc.stringMatching(/^[a-zA-Z0-9.:[\]@/%_-]{0,20}$/);
      await fc.assert(
        fc.asyncProperty(text, text, async (before, after) => {
          fc.pre(before !== '' || after !== '');
          const host = `${before}localhost:${bench.port}${after}`;
          const reply = await bench.ask('GET', '/api/services', { headers: { host } });
          expect(reply.status, host).to.equal(403);
        }),
        { numRuns: 60, seed: 11 },
      );
    });

    it('refuses two Host headers', async () => {
      const socket = createConnection(bench.port, '127.0.0.1');
      const host = `localhost:${bench.port}`;
      socket.end(
        `GET /api/services HTTP/1.1\r\nHost: ${host}\r\nHost: evil\r\n` +
          `Authorization: Bearer ${bench.token}\r\nConnection: close\r\n\r\n`,
      );
      let text = '';
      socket.on('data', (bytes) => {
        text += bytes.toString();
      });
      await once(socket, 'close');
      expect(text).to.match(/^HTTP\/1\.1 40[03] /);
    });

    it('answers 404 and 405 as JSON, 405 with what is allowed', async () => {
      const missing = await bench.ask('GET', '/api/nothing');
      expect(missing.status).to.equal(404);
      expect(errorOf(missing).message).to.equal('No such path: /api/nothing');
      for (const path of ['/', '/api', '/api/services/', '/API/services', '/api/services/a/b']) {
        expect((await bench.ask('GET', path)).status, path).to.equal(404);
      }
      const wrong = await bench.ask('DELETE', '/api/services');
      expect(wrong.status).to.equal(405);
      expect(errorOf(wrong).code).to.equal('method-not-allowed');
      expect(wrong.headers.allow?.split(', ')).to.have.members(['GET', 'HEAD']);
      expect((await bench.ask('TRACE', '/api/services')).status).to.equal(405);
      expect((await bench.ask('HEAD', '/api/services')).status).to.equal(200);
    });

    it('keeps replies out of caches and sniffers, and carries the caller’s cid', async () => {
      const headers = { 'x-hence-cid': 'mine-1' };
      for (const path of ['/api/services', '/api/nothing']) {
        const reply = await bench.ask('GET', path, { headers });
        expect(reply.headers).to.include({
          'cache-control': 'no-store',
          'x-content-type-options': 'nosniff',
          'x-hence-cid': 'mine-1',
        });
      }
      const forged = await bench.ask('GET', '/api/services', {
        headers: { 'x-hence-cid': 'a b"c' },
      });
      expect(forged.headers['x-hence-cid']).to.match(/^[0-9a-f]{32}$/);
    });

    it('hides what broke inside, but logs it with the cid', async () => {
      const reply = await bench.ask('GET', '/api/status');
      expect(reply.status).to.equal(500);
      expect(errorOf(reply)).to.deep.equal({ code: 'internal', message: 'Internal error' });
      expect(reply.text).to.not.match(/secret|\.ts|\bat /);
      const entry = bench.log.entries.find(
        ({ facts }) => facts['cid'] === reply.headers['x-hence-cid'],
      );
      expect(entry).to.include({ level: 'error', message: 'admin request failed' });
      expect(entry?.facts['error']).to.be.instanceOf(TypeError);
    });

    it('survives malformed paths', async () => {
      for (const path of [
        '/api/services/%E0%A4%A',
        '/api/services/%00',
        '//',
        '/api/services/%2e%2e',
        '/%',
        '/api/definitions/__proto__',
        '/api/definitions/door/__proto__',
        '/api/definitions/constructor/toString',
      ]) {
        const { status } = await bench.ask('GET', path);
        expect(status, path).to.be.within(400, 404);
      }
    });
  });

  describe('definitions', () => {
    const path = '/api/definitions/door';

    it('are created, read, replaced, patched and deleted', async () => {
      const made = await bench.ask('POST', path, { body: { name: 'front', ...door('/a') } });
      expect(made.status).to.equal(201);
      expect(made.headers.location).to.equal(`${path}/front`);
      const view = made.json as { revision: number; updatedAt: string };
      expect(view).to.deep.include({ name: 'front', path: '/a', limit: 10, key: 'none' });
      expect(Date.parse(view.updatedAt)).to.be.closeTo(Date.now(), 10_000);
      const read = await bench.ask('GET', `${path}/front`);
      expect(read.headers.etag).to.equal(`"${view.revision}"`);
      expect(read.json).to.deep.equal(view);
      const put = await bench.ask('PUT', `${path}/front`, { body: { ...view, path: '/b' } });
      expect(put.json).to.deep.include({ path: '/b', revision: view.revision + 1 });
      const patched = await bench.ask('PATCH', `${path}/front`, { body: { limit: 3 } });
      expect(patched.json).to.deep.include({ path: '/b', limit: 3 });
      const reset = await bench.ask('PATCH', `${path}/front`, { body: { limit: null } });
      expect(reset.json).to.deep.include({ limit: 10 });
      const deleted = await bench.ask('DELETE', `${path}/front`);
      expect([deleted.status, deleted.text]).to.deep.equal([204, '']);
      const gone = await bench.ask('GET', `${path}/front`);
      expect([gone.status, errorOf(gone).message]).to.deep.equal([404, 'No such door: front']);
    });

    it('that moved are not overwritten: If-Match gives 409', async () => {
      await bench.ask('POST', path, { body: { name: 'front', ...door('/a') } });
      const { headers } = await bench.ask('GET', `${path}/front`);
      const match = { 'if-match': String(headers.etag) };
      const first = await bench.ask('PATCH', `${path}/front`, {
        body: { limit: 1 },
        headers: match,
      });
      expect(first.status).to.equal(200);
      for (const [method, body] of [
        ['PUT', door('/b')],
        ['PATCH', { limit: 2 }],
        ['DELETE', undefined],
      ] as const) {
        const late = await bench.ask(method, `${path}/front`, {
          headers: match,
          ...(body ? { body } : {}),
        });
        expect(late.status, method).to.equal(409);
        expect(errorOf(late).message).to.match(/^door front moved from revision \d+ to \d+$/);
      }
      const again = { 'if-match': String(first.headers.etag) };
      expect((await bench.ask('DELETE', `${path}/front`, { headers: again })).status).to.equal(204);
      for (const value of ['5', '*', 'W/"5"', '"x"', '"5", "6"', '"-1"', `"${'9'.repeat(30)}"`]) {
        const reply = await bench.ask('PATCH', `${path}/front`, {
          body: {},
          headers: { 'if-match': value },
        });
        expect(reply.status, value).to.equal(400);
      }
    });

    it('are refused with every problem when they are wrong', async () => {
      const reply = await bench.ask('POST', path, {
        body: { name: 'front', path: 'a', colour: 1 },
      });
      expect(reply.status).to.equal(400);
      const details = errorOf(reply).details as readonly { path: string }[];
      expect(details.map((one) => one.path)).to.have.members(['path', 'service', 'colour']);
      const nameless = await bench.ask('POST', path, { body: door('/a') });
      expect(nameless.status).to.equal(400);
      const renamed = await bench.ask('PUT', `${path}/front`, {
        body: { name: 'b', ...door('/') },
      });
      expect(renamed.status).to.equal(400);
      await bench.ask('POST', path, { body: { name: 'front', ...door('/a') } });
      const twice = await bench.ask('POST', path, { body: { name: 'front', ...door('/b') } });
      expect(twice.status).to.equal(409);
      expect((await bench.ask('GET', '/api/definitions/window')).status).to.equal(404);
    });

    it('that others name stay, and show no secret but their stored form', async () => {
      await bench.ask('POST', '/api/definitions/key', { body: { name: 'k', secret: 'canary' } });
      await bench.ask('POST', path, { body: { name: 'front', ...door('/a'), key: 'k' } });
      const reply = await bench.ask('DELETE', '/api/definitions/key/k');
      expect([reply.status, errorOf(reply).message]).to.deep.equal([
        409,
        'key k cannot be deleted: it is used by door front',
      ]);
      expect((await bench.ask('GET', '/api/definitions/key/k')).text).to.not.include('canary');
    });

    it('are listed in pages, by name', async () => {
      const { store } = bench.definitions;
      await store.change(
        Array.from({ length: 101 }, (_, n) => {
          const name = `d${String(n).padStart(3, '0')}`;
          return { action: 'put', type: 'door', name, spec: door(`/${n}`) };
        }),
      );
      interface Items {
        readonly items: readonly { readonly name: string }[];
        readonly total: number;
        readonly after?: string;
      }
      const first = (await bench.ask('GET', path)).json as Items;
      expect([first.items.length, first.total, first.after]).to.deep.equal([100, 101, 'd099']);
      const last = (await bench.ask('GET', `${path}?after=${first.after}`)).json as Items;
      expect(last.items.map(({ name }) => name)).to.deep.equal(['d100']);
      expect(last).to.not.have.property('after');
      expect(((await bench.ask('GET', `${path}?limit=1000`)).json as Items).items).to.have.length(
        101,
      );
      for (const query of ['limit=0', 'limit=1001', 'limit=x', 'limit=1&limit=2']) {
        expect((await bench.ask('GET', `${path}?${query}`)).status, query).to.equal(400);
      }
    });
  });

  describe('bodies', () => {
    const path = '/api/services/a.b/invoke';

    it('must be JSON objects in UTF-8, with no key twice and none that reaches a prototype', async () => {
      const bad = [
        ...['', 'null', '[]', '1', '"x"', '{', '{"input":1,}', '{"input":1}x', "{'input':1}"],
        ...['{"input":1,"input":2}', '{"input":{"a":[{"b":1,"\\u0062":2}]}}'],
        ...['{"input":{"__proto__":{"admin":true}}}', '{"input":{"constructor":{"prototype":{}}}}'],
        ...['{"unknown":1}', '{"timeoutMs":0}', '{"async":"yes"}', '{"cid":"a b"}'],
        `{"input":${'['.repeat(101)}${']'.repeat(101)}}`,
      ];
      for (const body of [...bad, Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x7d])]) {
        const reply = await bench.ask('POST', path, { body });
        expect(reply.status, String(body).slice(0, 60)).to.equal(400);
        expect(errorOf(reply).code).to.equal('bad-request');
      }
      expect(bench.invoked).to.deep.equal([]);
      expect(({} as Record<string, unknown>)['admin']).to.equal(undefined);
      const good = '{"input":{"a":{"b":1},"c":[{"b":1},{"b":"\\"b\\":1,{"}]}}';
      expect((await bench.ask('POST', path, { body: good })).status).to.equal(200);
    });

    it('may be 1,048,576 bytes long and not one more, announced or not', async () => {
      const sized = (bytes: number) => `{"input":"${'x'.repeat(bytes - 12)}"}`;
      const exact = await bench.ask('POST', path, { body: sized(1_048_576) });
      expect(exact.status).to.equal(200);
      const more = await bench.ask('POST', path, { body: sized(1_048_577) });
      expect(more.status).to.equal(413);
      expect(errorOf(more).message).to.equal('The body is larger than 1048576 bytes');
      const chunked = { 'transfer-encoding': 'chunked' };
      const streamed = await bench.ask('POST', path, { body: sized(1_048_577), headers: chunked });
      expect(streamed.status).to.equal(413);
      const fits = await bench.ask('POST', path, { body: sized(1_048_576), headers: chunked });
      expect(fits.status).to.equal(200);
    });
  });

  describe('the other paths', () => {
    it('list, show and invoke services', async () => {
      bench.services = ['b.b', 'a.a'].map(service);
      const list = await bench.ask('GET', '/api/services?limit=1');
      expect(list.json).to.deep.equal({ items: [service('a.a')], total: 2, after: 'a.a' });
      expect((await bench.ask('GET', '/api/services/b.b')).json).to.deep.equal(service('b.b'));
      const missing = await bench.ask('GET', '/api/services/no.such');
      expect(errorOf(missing).message).to.equal('No such service: no.such');
      bench.invoked.length = 0;
      const headers = { 'x-hence-cid': 'from-header' };
      const reply = await bench.ask('POST', '/api/services/a.a/invoke', {
        headers,
        body: { input: { x: 1 }, async: true, timeoutMs: 5_000 },
      });
      expect(reply.json).to.deep.include({ cid: 'from-header', version: 3, payload: { x: 1 } });
      expect(bench.invoked).to.deep.equal([
        { name: 'a.a', cid: 'from-header', input: { x: 1 }, async: true, timeoutMs: 5_000 },
      ]);
      await bench.ask('POST', '/api/services/a.a/invoke', { headers, body: { cid: 'from-body' } });
      expect(bench.invoked.at(-1)).to.deep.equal({ name: 'a.a', cid: 'from-body' });
      const busy = await bench.ask('POST', '/api/services/busy/invoke', { body: {} });
      expect([busy.status, busy.headers['retry-after']]).to.deep.equal([429, '2']);
    });

    it('deploy a file by its bare name only', async () => {
      const text = 'export class A {} // ü\n';
      const reply = await bench.ask('PUT', '/api/files/a-b.ts?check=1', { body: text });
      expect(reply.status).to.equal(200);
      await bench.ask('PUT', '/api/files/a-b.ts', { body: text });
      expect(bench.files).to.deep.equal([
        { file: 'a-b.ts', text, check: true },
        { file: 'a-b.ts', text, check: false },
      ]);
      const names = [
        '..%2Fx.ts',
        '%2e%2e%2fx.ts',
        'a%2Fb.ts',
        'a%5Cb.ts',
        '.x.ts',
        'x',
        'x.json',
        'a..b.ts',
        'x.ts%00',
        `${'x'.repeat(120)}.ts`,
        'x.d',
        '%0Ax.ts',
      ];
      for (const name of names) {
        const { status } = await bench.ask('PUT', `/api/files/${name}`, { body: text });
        expect(status, name).to.equal(400);
      }
      expect(
        (await bench.ask('PUT', '/api/files/a.ts?check=maybe', { body: text })).status,
      ).to.equal(400);
      expect(bench.files).to.have.length(2);
      expect((await bench.ask('GET', '/api/deploys?limit=2')).json).to.deep.include({ after: '2' });
    });

    it('apply and export a configuration', async () => {
      const text = 'doors:\n  front: { path: "/${env:HOST}", service: s }\n';
      const dry = await bench.ask('POST', '/api/config/apply?dry-run=1', {
        body: { file: 'f.yaml', text },
      });
      expect(dry.status).to.equal(200);
      expect(bench.definitions.store.isEmpty()).to.equal(true);
      const reply = await bench.ask('POST', '/api/config/apply', {
        body: { file: 'f.yaml', text },
      });
      expect(reply.json).to.deep.include({
        changes: [{ action: 'created', type: 'door', name: 'front' }],
      });
      const exported = await bench.ask('GET', '/api/config/export');
      expect(exported.headers['content-type']).to.match(/^text\/yaml/);
      expect(exported.text).to.include('path: /example.org');
      const again = await bench.ask('POST', '/api/config/apply', {
        body: { file: 'f', text: exported.text },
      });
      expect(again.json).to.deep.include({
        changes: [{ action: 'unchanged', type: 'door', name: 'front' }],
      });
      const bad = await bench.ask('POST', '/api/config/apply', {
        body: { file: 'f.yaml', text: 'doors:\n  a: {}\nrooms: {}\n' },
      });
      expect(bad.status).to.equal(400);
      expect(
        (errorOf(bad).details as readonly { where: string }[]).map(({ where }) => where),
      ).to.deep.equal(['f.yaml:2:3', 'f.yaml:2:3', 'f.yaml:3:1']);
    });

    it('ping, run a kvdb command, show stand-ins and stored calls', async () => {
      expect((await bench.ask('POST', '/api/outgoing/pushover/ping')).json).to.deep.include({
        ok: true,
      });
      expect((await bench.ask('POST', '/api/outgoing/other/ping')).status).to.equal(404);
      const result = await bench.ask('POST', '/api/kvdb', { body: { command: ['GET', 'a'] } });
      expect(result.json).to.deep.equal({ result: ['OK', null, 1] });
      for (const command of [[], 'GET a', [1], undefined]) {
        expect((await bench.ask('POST', '/api/kvdb', { body: { command } })).status).to.equal(400);
      }
      expect(bench.commands).to.deep.equal([['GET', 'a']]);
      expect((await bench.ask('GET', '/api/standins/pushover')).json).to.deep.include({
        messages: [],
      });
      expect((await bench.ask('DELETE', '/api/standins/pushover')).status).to.equal(204);
      expect((await bench.ask('GET', '/api/standins/other')).status).to.equal(404);
      const dead = await bench.ask('GET', '/api/invocations?state=dead&limit=5&after=7');
      expect(dead.json).to.deep.equal({ items: [], total: 0, after: 'dead-5-7' });
      expect((await bench.ask('GET', '/api/invocations?state=lost')).status).to.equal(400);
      expect((await bench.ask('POST', '/api/invocations/pushover/retry')).json).to.deep.equal({});
      expect((await bench.ask('POST', '/api/invocations/7/retry')).status).to.equal(404);
      expect((await bench.ask('DELETE', '/api/invocations/pushover')).status).to.equal(204);
    });

    it('stop, once the answer is out', async () => {
      const reply = await bench.ask('POST', '/api/stop');
      expect([reply.status, reply.json]).to.deep.equal([202, {}]);
      await until(() => bench.stops === 1);
    });
  });

  describe('the log', () => {
    const say = (message: string, facts: object = {}) => {
      const time = new Date().toISOString();
      bench.write.write(`${JSON.stringify({ time, level: 'info', message, ...facts })}\n`);
    };
    const follow = (query: string): Promise<IncomingMessage> =>
      new Promise((resolve, reject) => {
        const headers = { authorization: `Bearer ${bench.token}` };
        request(`${bench.url}/api/logs?follow=1&${query}`, { headers }, resolve)
          .on('error', reject)
          .end();
      });

    it('is NDJSON, filtered by the query', async () => {
      say('one', { service: 's1', cid: 'c1' });
      say('two', { service: 's2', level: 'error' });
      const all = await bench.ask('GET', '/api/logs');
      expect(all.headers['content-type']).to.match(/^application\/x-ndjson/);
      const messages = (answer: Answer) =>
        answer.text
          .split('\n')
          .filter(Boolean)
          .map((text) => (JSON.parse(text) as { message: string }).message);
      expect(messages(all)).to.include.members(['one', 'two']);
      expect(messages(await bench.ask('GET', '/api/logs?cid=c1'))).to.deep.equal(['one']);
      expect(messages(await bench.ask('GET', '/api/logs?level=error'))).to.deep.equal(['two']);
      expect(messages(await bench.ask('GET', '/api/logs?service=s2&since=1m'))).to.deep.equal([
        'two',
      ]);
      expect(messages(await bench.ask('GET', '/api/logs?limit=1'))).to.deep.equal(['two']);
      for (const query of ['level=loud', 'since=soon', 'limit=0', 'follow=yes']) {
        expect((await bench.ask('GET', `/api/logs?${query}`)).status, query).to.equal(400);
      }
    });

    it('is followed line by line, and forgotten when the reader leaves', async () => {
      const stream = await follow('grep=followed');
      expect(stream.statusCode).to.equal(200);
      stream.setEncoding('utf8');
      say('other');
      say('followed 1');
      const [first] = await once(stream, 'data');
      expect(JSON.parse(String(first))).to.include({ message: 'followed 1' });
      say('followed 2');
      const [second] = await once(stream, 'data');
      expect(JSON.parse(String(second))).to.include({ message: 'followed 2' });
      expect(bench.followers).to.equal(1);
      stream.destroy();
      await until(() => bench.followers === 0);
    });

    it('does not pile up in memory for a reader that does not read', async () => {
      const stream = await follow('grep=flood');
      const long = 'flood '.repeat(2_000);
      for (let n = 0; n < 4_000; n++) {
        say(long);
        if (n % 100 === 0) await new Promise((resolve) => setImmediate(resolve));
      }
      let text = '';
      stream.setEncoding('utf8');
      stream.on('data', (chunk: string) => {
        text += chunk;
      });
      say('flood ends');
      await until(() => text.includes('flood ends'));
      const missed = /"message":"log lines were left out for a slow reader","count":(\d+)/.exec(
        text,
      );
      expect(Number(missed?.[1])).to.be.greaterThan(100);
      stream.destroy();
    });

    it('ends for its readers when the server stops', async () => {
      const stream = await follow('');
      stream.resume();
      const ended = once(stream, 'end');
      await bench.server.stop();
      await ended;
      bench.server = bench.another();
      bench.url = await bench.server.start({ port: 0 });
      bench.token = JSON.parse(await readFile(join(bench.dir, 'admin.json'), 'utf8')).token;
    });
  });

  describe('where it listens', () => {
    it('leaves url, token and pid in a file for its owner only, and removes it at the stop', async () => {
      const path = join(bench.dir, 'admin.json');
      const first = JSON.parse(await readFile(path, 'utf8'));
      expect(first).to.include({ url: bench.url, pid: process.pid });
      expect(Buffer.from(first.token, 'base64url')).to.have.length(32);
      expect((await stat(path)).mode & 0o777).to.equal(0o600);
      const other = bench.another();
      await other.start({ port: 0 });
      const second = JSON.parse(await readFile(path, 'utf8'));
      expect(second.token).to.not.equal(first.token);
      await other.stop();
      await other.stop();
      expect(await codeOf(readFile(path))).to.equal('ENOENT');
      await writeFile(path, JSON.stringify({ ...first, token: 'of a later start' }));
      await bench.server.stop();
      expect(await readFile(path, 'utf8')).to.include('of a later start');
      bench.server = bench.another();
      bench.url = await bench.server.start({ port: 0 });
      bench.token = JSON.parse(await readFile(path, 'utf8')).token;
    });

    it('takes the next free port, or refuses when it must not', async () => {
      const taken = createServer().listen(0, '127.0.0.1');
      await once(taken, 'listening');
      const { port } = taken.address() as { port: number };
      const other = bench.another();
      try {
        const fault = await faultFrom(other.start({ port, orNext: false }));
        expect(fault.code).to.equal('conflict');
        expect(fault.message).to.include(`port ${port} is taken`);
        const url = await other.start({ port });
        expect(Number(new URL(url).port)).to.be.within(port + 1, port + 50);
        expect(await other.start({ port })).to.equal(url);
      } finally {
        await other.stop();
        taken.close();
      }
    });

    it('refuses to listen beyond this machine', async () => {
      for (const host of ['0.0.0.0', '::', '192.0.2.1', 'example.org', '']) {
        const fault = await faultFrom(bench.another().start({ host, port: 0 }));
        expect(fault.message).to.match(/^The admin API listens on this machine only/);
      }
    });
  });
});

/** The code of the error a promise is rejected with. */
async function codeOf(promise: Promise<unknown>): Promise<unknown> {
  try {
    return await promise;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code;
  }
}

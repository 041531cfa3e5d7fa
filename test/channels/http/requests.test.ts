import { expect } from 'chai';
import { type Answer, ask, type Question, reply, serving, stopAll, type World } from './fixture.ts';

describe('A channel takes a request', () => {
  afterEach(stopAll);

  const formats = {
    json: { path: '/json' },
    form: { path: '/form', dataFormat: 'form' },
    text: { path: '/text', dataFormat: 'text' },
    raw: { path: '/raw', dataFormat: 'raw' },
    params: { path: '/p/{a}/{b}' },
    span: { path: '/s/{rest}', matchSlash: true },
    get: { path: '/get', method: 'GET' },
  };
  const world = (service?: Parameters<typeof serving>[0]) =>
    serving({ channels: formats, ...service });
  const inputOf = async (at: World, path: string, question: Question = {}): Promise<unknown> => {
    const answer = await ask(at, 'POST', path, question);
    expect(answer.status, answer.text).to.equal(200);
    return at.calls.at(-1)?.input;
  };
  const refusal = (answer: Answer) => {
    const { error, cid } = answer.json() as {
      error: { code: string; message: string };
      cid: string;
    };
    expect(answer.headers['x-hence-cid']).to.equal(cid);
    return [answer.status, error.code, error.message];
  };

  describe('by its data format, whatever the Content-Type says', () => {
    it('JSON that curl -d sends as a form', async () => {
      const at = await world();
      const headers = { 'Content-Type': 'application/x-www-form-urlencoded' };
      expect(await inputOf(at, '/json', { body: '{"user": "sean"}', headers })).to.deep.equal({
        user: 'sean',
      });
      expect(at.calls[0]?.rawRequest).to.equal('{"user": "sean"}');
    });

    it('a form that is said to be JSON, repeated names as lists', async () => {
      const at = await world();
      const headers = { 'Content-Type': 'application/json' };
      const body = 'a=1&b=x+y&a=2&a=%C5%82&constructor=c';
      expect(await inputOf(at, '/form', { body, headers })).to.deep.equal({
        a: ['1', '2', 'ł'],
        b: 'x y',
        constructor: 'c',
      });
      expect(at.calls[0]?.rawRequest).to.equal(body);
    });

    it('text', async () => {
      const at = await world();
      expect(await inputOf(at, '/text?x=1', { body: '{"not": "parsed"' })).to.equal(
        '{"not": "parsed"',
      );
    });

    it('raw bytes', async () => {
      const at = await world();
      const body = Buffer.from([0, 255, 254, 10]);
      expect(await inputOf(at, '/raw', { body })).to.deep.equal(body);
      expect(at.calls[0]?.rawRequest).to.deep.equal(body);
    });

    it('no body as an empty object', async () => {
      const at = await world();
      for (const path of ['/json', '/form', '/text', '/raw']) {
        expect(await inputOf(at, path), path).to.deep.equal({});
      }
      expect(at.calls.map(({ rawRequest }) => rawRequest)).to.deep.equal([
        '',
        '',
        '',
        Buffer.alloc(0),
      ]);
    });

    it('a JSON body that is no object, as it is', async () => {
      const at = await world();
      for (const body of ['[1,2]', '"text"', '12', 'true', 'null']) {
        expect(await inputOf(at, '/json?q=1', { body }), body).to.deep.equal(JSON.parse(body));
      }
    });

    it('a chunked body', async () => {
      const at = await world();
      const headers = { 'Transfer-Encoding': 'chunked' };
      expect(await inputOf(at, '/json', { body: '{"a":1}', headers })).to.deep.equal({ a: 1 });
    });

    it('a BOM before JSON', async () => {
      const at = await world();
      expect(await inputOf(at, '/json', { body: '\ufeff{"a":1}' })).to.deep.equal({ a: 1 });
    });
  });

  it('gives big and odd numbers to rawRequest unchanged', async () => {
    const at = await world();
    const body = '{"id": 12345678901234567890, "zero": -0, "huge": 1e400, "half": "\\ud800"}';
    await inputOf(at, '/json', { body });
    expect(at.calls[0]?.rawRequest).to.equal(body);
  });

  it('merges path over query over body', async () => {
    const at = await world();
    const body = '{"a": "body", "b": "body", "c": "body", "d": "body"}';
    expect(await inputOf(at, '/p/path/%C5%82?b=query&c=query&e=1&e=2', { body })).to.deep.equal({
      a: 'path',
      b: 'ł',
      c: 'query',
      d: 'body',
      e: ['1', '2'],
    });
    expect(at.calls[0]?.http).to.deep.include({
      method: 'POST',
      path: '/p/path/%C5%82',
      params: { a: 'path', b: 'ł' },
      query: { b: 'query', c: 'query', e: ['1', '2'] },
    });
  });

  it('gives the headers, and no user where there is no security', async () => {
    const at = await world();
    await inputOf(at, '/json', { headers: { 'X-Mine': 'yes' } });
    expect(at.calls[0]?.http?.headers['x-mine']).to.equal('yes');
    expect(at.calls[0]?.http).not.to.have.property('user');
  });

  it('lets a param span slashes when matchSlash says so', async () => {
    const at = await world();
    expect(await inputOf(at, '/s/a/b%2Fc/d.txt')).to.deep.equal({ rest: 'a/b/c/d.txt' });
  });

  it('takes a whole URL as a proxy sends it', async () => {
    const at = await world();
    const answer = await ask(at, 'POST', 'http://example.test/p/1/2?x=3');
    expect(answer.json()).to.deep.equal({ a: '1', b: '2', x: '3' });
  });

  describe('and refuses it', () => {
    for (const [what, path, body, reason] of [
      ['text that is not JSON', '/json', '{"a":', 'Body is not valid JSON'],
      ['a lone value with a rest', '/json', '{} x', 'Body is not valid JSON'],
      ['bytes that are not UTF-8', '/json', Buffer.from([0x22, 0xff, 0x22]), 'not valid UTF-8'],
      ['a form that is not UTF-8', '/form', Buffer.from([0x61, 0x3d, 0xff]), 'not valid UTF-8'],
      ['text that is not UTF-8', '/text', Buffer.from([0xc3, 0x28]), 'not valid UTF-8'],
      ['101 levels of JSON', '/json', '['.repeat(101) + ']'.repeat(101), 'deeper than 100'],
      ['a depth bomb', '/json', '['.repeat(400_000) + ']'.repeat(400_000), 'deeper than 100'],
      [
        'a key that reaches a prototype',
        '/json',
        '{"a": {"__proto__": {"x": 1}}}',
        'not valid JSON',
      ],
      ['such a key in a form', '/form', 'a=1&__proto__=2', '__proto__'],
      ['such a key in the query', '/json?__proto__=1', '{}', '__proto__'],
      ['10,001 fields', '/form', 'a&'.repeat(10_001), 'more than 10000'],
      ['a path that is not UTF-8', '/p/%C3/1', '', 'not UTF-8'],
      ['a broken escape', '/p/%zz/1', '', 'not UTF-8'],
    ] as const) {
      it(`with 400: ${what}`, async () => {
        const at = await world();
        const answer = await ask(at, 'POST', path, { body });
        const [status, code, message] = refusal(answer);
        expect([status, code]).to.deep.equal([400, 'bad-request']);
        expect(message).to.include(reason);
        expect(at.calls).to.have.length(0);
        expect(Object.keys(Object.prototype)).to.deep.equal([]);
      });
    }

    it('but takes 100 levels and 10,000 fields', async () => {
      const at = await world();
      const deep = '['.repeat(100) + ']'.repeat(100);
      expect(await inputOf(at, '/json', { body: deep })).to.deep.equal(JSON.parse(deep));
      expect(await inputOf(at, '/form', { body: 'a&'.repeat(10_000) })).to.have.keys('a');
    });

    it('with 415: a body that is compressed, but not one said to be identity', async () => {
      const at = await world();
      const zipped = { body: 'x', headers: { 'Content-Encoding': 'gzip' } };
      expect(refusal(await ask(at, 'POST', '/json', zipped)).slice(0, 2)).to.deep.equal([
        415,
        'bad-request',
      ]);
      const plain = { body: '{"a":1}', headers: { 'Content-Encoding': 'Identity' } };
      expect(await inputOf(at, '/json', plain)).to.deep.equal({ a: 1 });
    });

    it('with 414: a URL over 8 KB', async () => {
      const at = await world();
      const url = (length: number) => `/json?a=${'x'.repeat(length - 8)}`;
      expect((await ask(at, 'GET', url(8_192))).status).to.equal(200);
      expect(refusal(await ask(at, 'GET', url(8_193)))[0]).to.equal(414);
    });

    it('with 404: a path of no channel, and a channel that is not enabled', async () => {
      const at = await serving({ channels: { off: { path: '/off', enabled: false } } });
      expect(refusal(await ask(at, 'GET', '/nothing')).slice(0, 2)).to.deep.equal([
        404,
        'not-found',
      ]);
      expect(refusal(await ask(at, 'GET', '/off'))[0]).to.equal(404);
    });

    it('with 405 and Allow: a method of no channel', async () => {
      const at = await world();
      const answer = await ask(at, 'DELETE', '/get');
      expect(refusal(answer).slice(0, 2)).to.deep.equal([405, 'method-not-allowed']);
      expect(answer.headers.allow).to.equal('GET, HEAD, OPTIONS');
    });
  });

  it('answers OPTIONS with 204 and Allow when no channel takes it', async () => {
    const at = await world();
    const answer = await ask(at, 'OPTIONS', '/get');
    expect([answer.status, answer.headers.allow, answer.text]).to.deep.equal([
      204,
      'GET, HEAD, OPTIONS',
      '',
    ]);
    expect(answer.headers).not.to.have.property('content-length');
    expect((await ask(at, 'OPTIONS', '/json')).text).to.equal('{}');
  });

  it('answers HEAD as GET without the body', async () => {
    const at = await world({ service: () => reply({ hello: 'world' }) });
    const answer = await ask(at, 'HEAD', '/get');
    expect([answer.status, answer.text]).to.deep.equal([200, '']);
    expect(answer.headers['content-length']).to.equal(String('{"hello":"world"}'.length));
    expect(at.calls[0]?.http?.method).to.equal('GET');
    expect((await ask(at, 'HEAD', '/nothing')).status).to.equal(404);
  });

  it('gives what is of no channel to the fallback, which may leave it', async () => {
    const at = await serving({
      fallback: (req, res) => {
        if (req.url === '/nowhere') return false;
        res.end(`other ${req.url}`);
        return true;
      },
    });
    expect((await ask(at, 'GET', '/elsewhere')).text).to.equal('other /elsewhere');
    expect((await ask(at, 'GET', '/nowhere')).status).to.equal(404);
    expect((await ask(at, 'GET', '/echo')).json()).to.deep.equal({});
  });

  it('answers 500 when the fallback throws', async () => {
    const at = await serving({
      fallback: () => {
        throw new Error('secret');
      },
    });
    const answer = await ask(at, 'GET', '/elsewhere');
    expect([answer.status, answer.text.includes('secret')]).to.deep.equal([500, false]);
  });

  it('honours a caller\u2019s correlation id, if it is safe', async () => {
    const at = await world();
    const cidFor = async (given: string) =>
      (await ask(at, 'GET', '/json', { headers: { 'X-Hence-CID': given } })).headers['x-hence-cid'];
    expect(await cidFor('my-cid.1')).to.equal('my-cid.1');
    expect(at.calls[0]?.cid).to.equal('my-cid.1');
    expect(await cidFor('bad id')).to.match(/^[0-9a-f]{32}$/);
    expect(await cidFor('x'.repeat(129))).to.match(/^[0-9a-f]{32}$/);
  });
});

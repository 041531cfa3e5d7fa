import { once } from 'node:events';
import { request } from 'node:http';
import { connect } from 'node:net';
import { expect } from 'chai';
import { Fault } from '../../../../runtime/core/fault.ts';
import { startRedis, type TestRedis } from '../../../support/redis.ts';
import { basic, serving, stopAll, type World, type WorldOptions } from './fixture.ts';

const cidPattern = /^\d{8}-\d{6}-\d{4}-[0-9a-f]{16}a$/;
const msgIdPattern = /^zpsm\.\d{8}-\d{6}-\d{4}-[0-9a-f]{16}f$/;
const mebibyte = 1_048_576;

describe('Zato 4 REST: publish', () => {
  let redis: TestRedis;
  let world: World;

  before(async () => {
    redis = await startRedis();
  });
  after(() => redis.stop());
  afterEach(stopAll);

  const served = async (options?: WorldOptions) => {
    world = await serving(redis, options);
    return world;
  };
  /** What a get gives of one publication. */
  const through = async (body: unknown) => {
    const published = await world.publish(body);
    expect(published.status, published.text).to.equal(200);
    const got = await world.get();
    expect(got.json.message_count).to.equal(1);
    return { ...(got.json.messages?.[0] ?? { data: undefined, meta: undefined }), text: got.text };
  };

  it('answers with the four keys in their order, and ids in Zato\u2019s forms', async () => {
    await served();
    const { status, headers, text, json } = await world.publish({ data: { order_id: 12_345 } });
    expect(status).to.equal(200);
    expect(headers['content-type']).to.equal('application/json');
    expect(Object.keys(json)).to.deep.equal(['is_ok', 'cid', 'msg_id', 'status']);
    expect(json.cid).to.match(cidPattern);
    expect(json.msg_id).to.match(msgIdPattern);
    expect(text).to.equal(
      `{"is_ok":true,"cid":"${json.cid}","msg_id":"${json.msg_id}","status":"200 OK"}`,
    );
    const [day, time] = json.cid.split('-');
    const sentAt = Date.parse(
      `${day} ${time}`.replace(/(....)(..)(..) (..)(..)(..)/, '$1-$2-$3T$4:$5:$6Z'),
    );
    expect(Math.abs(Date.now() - sentAt)).to.be.below(5_000);
  });

  describe('refuses in Zato\u2019s words', () => {
    const rows: readonly (readonly [string, number, string, () => Promise<unknown>])[] = [
      ['no Authorization', 401, 'Authentication required', () => asked({ user: null })],
      ['another scheme', 401, 'Authentication required', () => authorised('Bearer x')],
      ['no base64', 401, 'Authentication required', () => authorised('Basic !')],
      ['no colon', 401, 'Authentication required', () => authorised('Basic eA==')],
      ['a wrong password', 401, 'Invalid credentials', () => authorised(basic('user.1', 'x'))],
      ['an unknown user', 401, 'Invalid credentials', () => authorised(basic('nobody'))],
      ['who is no pub/sub client', 401, 'Invalid credentials', () => asked({ user: 'user.3' })],
      [
        'bad credentials with a bad body',
        401,
        'Authentication required',
        () => asked({ user: null }, 'demo.1', '{'),
      ],
      [
        'a topic with a blank before',
        400,
        'Topic name cannot begin or end with whitespace: ` x`',
        () => asked({}, '%20x'),
      ],
      [
        'a topic with a blank behind',
        400,
        'Topic name cannot begin or end with whitespace: `x `',
        () => asked({}, 'x%20'),
      ],
      [
        'a topic of 201 characters',
        400,
        'Topic name exceeds maximum length of 200 characters: 201',
        () => asked({}, 'x'.repeat(201)),
      ],
      [
        'a topic that is not ASCII',
        400,
        'Topic name contains non-ASCII characters: \u017c',
        () => asked({}, '%C5%BC'),
      ],
      [
        'an escape that is not UTF-8',
        400,
        'Topic name has an escape that is not UTF-8',
        () => asked({}, 'demo%ff'),
      ],
      [
        'a broken escape',
        400,
        'Topic name has an escape that is not UTF-8',
        () => asked({}, 'demo%zz'),
      ],
      [
        'a topic of 200 characters without permission',
        401,
        'Permission denied',
        () => asked({}, 'x'.repeat(200)),
      ],
      ['a topic without permission', 401, 'Permission denied', () => asked({}, 'other')],
      ['another spelling of a permitted one', 401, 'Permission denied', () => asked({}, 'demoX1')],
      [
        'who may only subscribe',
        401,
        'Permission denied',
        () => asked({ user: 'user.2' }, 'other'),
      ],
      [
        'a topic that does not exist',
        403,
        'Topic demo.none is inactive',
        () => asked({}, 'Demo.None'),
      ],
      ['a topic that is off', 403, 'Topic off is inactive', () => asked({}, 'off')],
      [
        'an inactive topic before the body',
        403,
        'Topic off is inactive',
        () => asked({}, 'off', '{'),
      ],
      [
        'null',
        400,
        "Invalid input: 'data' element missing",
        () => asked({}, 'demo.1', '{"data":null}'),
      ],
      [
        'an empty object',
        400,
        "Invalid input: 'data' element missing",
        () => asked({}, 'demo.1', '{}'),
      ],
      [
        'a body that is no object',
        400,
        "Invalid input: 'data' element missing",
        () => asked({}, 'demo.1', '[{"data":1}]'),
      ],
      [
        'a body that is null',
        400,
        "Invalid input: 'data' element missing",
        () => asked({}, 'demo.1', 'null'),
      ],
      ['no body', 400, 'Input data missing', () => asked({}, 'demo.1', '')],
      [
        'a pub_time that is none',
        400,
        "Invalid input: 'pub_time' is not an ISO 8601 time",
        () => asked({}, 'demo.1', '{"data":1,"pub_time":"noon"}'),
      ],
      [
        'a correl_id that is an object',
        400,
        "Invalid input: 'correl_id' must be a string",
        () => asked({}, 'demo.1', '{"data":1,"correl_id":{}}'),
      ],
      [
        'more data than the topic takes',
        413,
        'The message has 11 bytes; at most 10 are taken',
        () => asked({}, 'small', '{"data":"123456789"}'),
      ],
    ];
    const words: Record<number, string> = {
      400: '400 Bad Request',
      401: '401 Unauthorized',
      403: '403 Forbidden',
      413: '413 Payload Too Large',
    };

    const asked = (asking: object, topic = 'demo.1', body: unknown = { data: 1 }) =>
      world.ask(`/pubsub/topic/${topic}`, body, asking);
    const authorised = (authorization: string) => asked({ user: null, headers: { authorization } });

    for (const [what, status, details, run] of rows) {
      it(what, async () => {
        await served();
        const answer = (await run()) as Awaited<ReturnType<World['ask']>>;
        expect(answer.text).to.equal(
          JSON.stringify({ is_ok: false, cid: answer.json.cid, details, status: words[status] }),
        );
        expect(answer.json.cid).to.match(cidPattern);
        expect(answer.status).to.equal(status);
        expect(answer.headers['www-authenticate']).to.equal(
          status === 401 ? 'Basic realm="Hence", charset="UTF-8"' : undefined,
        );
        expect((await world.publish({ data: 1 })).status).to.equal(200);
      });
    }
  });

  for (const body of [
    '{',
    '{"data":1',
    'data=1',
    '{"data":01}',
    '{"data":1}x',
    '"',
    "{'data':1}",
    '{"data":NaN}',
  ]) {
    it(`answers 400 to ${body}, which is not JSON`, async () => {
      await served();
      const { status, json } = await world.publish(body);
      expect([status, json.status]).to.deep.equal([400, '400 Bad Request']);
      expect(json.details).to.match(/^JSON parsing error: /);
    });
  }

  it('answers 400 to bytes that are not UTF-8, and to an encoded body', async () => {
    await served();
    const bytes = Buffer.concat([Buffer.from('{"data":"'), Buffer.from([0xff]), Buffer.from('"}')]);
    const wrong = await world.publish(bytes);
    expect([wrong.status, wrong.json.details]).to.deep.equal([
      400,
      'JSON parsing error: the body is not UTF-8',
    ]);
    const headers = { 'content-encoding': 'gzip' };
    const zipped = await world.ask('/pubsub/topic/demo.1', { data: 1 }, { headers });
    expect([zipped.status, zipped.json.is_ok]).to.deep.equal([400, false]);
  });

  describe('answers 404 with Zato\u2019s text', () => {
    for (const path of [
      '/pubsub/topic/',
      '/pubsub/topic',
      '/pubsub/topic/a%23b',
      '/pubsub/topic/a%00b',
      '/pubsub/topic/a%0d%0ab',
      '/pubsub/topic/a%3Cb',
      '/pubsub/topic/a*',
      '/pubsub/topic/%F0%9F%98%80',
      '/pubsub/messages/get/',
      '/pubsub/messages',
      '/pubsub/nothing',
    ]) {
      it(path, async () => {
        await served();
        for (const user of ['user.1', null]) {
          const { status, text, headers } = await world.ask(path, { data: 1 }, { user });
          expect(status).to.equal(404);
          expect(text).to.match(/^URL not found \(CID:\d{8}-\d{6}-\d{4}-[0-9a-f]{16}a\)$/);
          expect(headers['content-type']).to.equal('text/plain; charset=utf-8');
        }
      });
    }

    it('and leaves paths of others alone', async () => {
      await served();
      for (const path of ['/', '/pubsubx', '/pubsub', '/x/pubsub/topic/demo.1']) {
        expect((await world.ask(path)).text).to.contain('No channel takes POST');
      }
    });
  });

  for (const method of ['GET', 'PUT', 'DELETE', 'PATCH', 'OPTIONS', 'TRACE', 'PROPFIND']) {
    it(`answers 405 to ${method}`, async () => {
      await served();
      for (const path of ['/pubsub/topic/demo.1', '/pubsub/messages/get']) {
        const { status, text, json, headers } = await world.ask(path, undefined, { method });
        expect(status).to.equal(405);
        expect(headers['allow']).to.equal('POST');
        expect(text).to.equal(
          `{"result":"Error","cid":"${json.cid}","details":"Unsupported HTTP method"}`,
        );
      }
    });
  }

  it('answers 405 to HEAD without a body, and the connection goes on', async () => {
    await served();
    const socket = connect(world.port, '127.0.0.1');
    socket.write('HEAD /pubsub/messages/get HTTP/1.1\r\nHost: a\r\n\r\n');
    const [head] = (await once(socket, 'data')) as [Buffer];
    expect(head.toString()).to.match(/^HTTP\/1.1 405 [\s\S]*\r\n\r\n$/);
    socket.write('HEAD /pubsub/x HTTP/1.1\r\nHost: a\r\n\r\n');
    const [second] = (await once(socket, 'data')) as [Buffer];
    expect(second.toString()).to.match(/^HTTP\/1.1 404 /);
    socket.destroy();
  });

  describe('F74: data keeps its bytes', () => {
    for (const raw of [
      '12345678901234567890',
      '-0',
      '1e400',
      '1.10',
      '"\\ud800"',
      '"\\u00e9\\/"',
      '{"a":1,"a":2, "b" : [ ] }',
      '""',
      '{}',
      '[]',
      '0',
      'false',
      '"5"',
      '"{\\"a\\":1}"',
      '"\u65e5\u672c\ud83d\ude00"',
      `${'['.repeat(99)}${']'.repeat(99)}`,
    ]) {
      it(raw.length > 60 ? '99 levels' : raw, async () => {
        await served();
        const { text } = await through(`{"priority":5, "data" : ${raw} ,"x":1}`);
        expect(text).to.contain(`{"data":${raw},"meta":`);
      });
    }

    it('the last of equal keys counts, however it is written', async () => {
      await served();
      expect((await through('{"data":1,"d\\u0061ta":[2]}')).data).to.deep.equal([2]);
      const last = await world.publish('{"data":1,"data":null}');
      expect(last.status).to.equal(400);
    });

    it('a key that reaches a prototype is refused', async () => {
      await served();
      expect((await world.publish('{"data":{"__proto__":{"a":1}}}')).status).to.equal(400);
    });
  });

  it('F73: takes 100 levels, and answers 400 to 101', async () => {
    await served();
    const nested = (levels: number) =>
      `{"data":${'['.repeat(levels - 1)}${']'.repeat(levels - 1)}}`;
    expect((await world.publish(nested(100))).status).to.equal(200);
    const deep = await world.publish(nested(101));
    expect([deep.status, deep.json.details]).to.deep.equal([
      400,
      'Body nests deeper than 100 levels',
    ]);
  });

  describe('priority', () => {
    const cases: readonly (readonly [string, number])[] = [
      ['0', 0],
      ['9', 9],
      ['10', 5],
      ['-1', 5],
      ['7.9', 7],
      ['-0.9', 0],
      ['9.99', 9],
      ['"7"', 7],
      ['" +7\\n"', 7],
      ['"0_7"', 7],
      ['"7.0"', 5],
      ['"x"', 5],
      ['""', 5],
      ['true', 1],
      ['false', 0],
      ['null', 5],
      ['[7]', 5],
      ['{}', 5],
      ['1e400', 5],
      ['12345678901234567890', 5],
    ];
    it('is what int() makes of it, and 5 where that is not 0 to 9', async () => {
      await served();
      for (const [given, expected] of cases) {
        const { meta } = await through(`{"data":1,"priority":${given}}`);
        expect([given, meta?.['priority']]).to.deep.equal([given, expected]);
      }
    });
  });

  describe('expiration', () => {
    const year = 31_536_000;
    const cases: readonly (readonly [string, number])[] = [
      ['1', 1],
      ['0', 1],
      ['-5', 1],
      ['0.5', 1],
      ['2.9', 2],
      ['"60"', 60],
      ['"x"', year],
      ['null', year],
      ['[]', year],
      ['true', 1],
      ['3153600000', 3_153_600_000],
      ['3153600001', 3_153_600_000],
      ['1e300', 3_153_600_000],
    ];
    it('is in seconds, a year by default, at least one second and at most 100 years', async () => {
      await served();
      for (const [given, expected] of cases) {
        const { meta } = await through(`{"data":1,"expiration":${given}}`);
        expect([given, meta?.['expiration']]).to.deep.equal([given, expected]);
      }
    });
  });

  it('takes priority and expiration of the topic where the request has none', async () => {
    await served();
    await world.publish({ data: 1 }, 'demo.rules');
    await world.publish({ data: 2, priority: 1, expiration: 5 }, 'demo.rules');
    const got = await world.get();
    const facts = got.json.messages?.map(({ meta }) => [meta['priority'], meta['expiration']]);
    expect(facts).to.deep.equal([
      [7, 60],
      [1, 5],
    ]);
  });

  it('keeps correl_id, in_reply_to and ext_client_id, whose default is the cid and nothing', async () => {
    await served();
    const facts = { correl_id: 'c-1', in_reply_to: 'r-1', ext_client_id: 'e-1' };
    expect((await through({ data: 1, ...facts })).meta).to.include(facts);
    const published = await world.publish({ data: 1, correl_id: '', in_reply_to: null });
    const { meta } = (await world.get()).json.messages?.[0] ?? {};
    expect(meta).to.have.property('correl_id', published.json.cid);
    expect(meta).to.not.have.any.keys('in_reply_to', 'ext_client_id', 'publisher', 'cid');
    expect((await through({ data: 1, correl_id: 17 })).meta).to.have.property('correl_id', '17');
    const longest = 'x'.repeat(2_000);
    expect((await through({ data: 1, correl_id: longest })).meta).to.include({
      correl_id: longest,
    });
    expect((await world.publish({ data: 1, correl_id: `${longest}x` })).status).to.equal(400);
  });

  it('keeps pub_time as Python writes it, and takes no wrong one', async () => {
    await served();
    for (const [given, expected] of [
      ['2025-01-01T12:00:00+00:00', '2025-01-01T12:00:00+00:00'],
      ['2025-01-01T12:00:00', '2025-01-01T12:00:00+00:00'],
      ['2025-01-01T12:00:00Z', '2025-01-01T12:00:00+00:00'],
      ['2025-01-01 12:00:00.5', '2025-01-01T12:00:00.500000+00:00'],
      ['2025-01-01T12:00:00.123456789-0230', '2025-01-01T12:00:00.123456-02:30'],
      ['2024-02-29', '2024-02-29T00:00:00+00:00'],
      ['20250101T1200', '2025-01-01T12:00:00+00:00'],
      ['9999-12-31T23:59:59Z', '9999-12-31T23:59:59+00:00'],
    ]) {
      const { meta } = await through({ data: 1, pub_time: given });
      expect([given, meta?.['pub_time_iso']]).to.deep.equal([given, expected]);
    }
    for (const wrong of [
      '2025-02-29T00:00:00',
      '2025-13-01',
      '2025-01-01T24:00:00',
      '2025-01-01T12:60:00',
      '2025-01-01T12:00:60',
      '2025-01-01T12:00:00+25:00',
      '0000-01-01',
      '2025-1-1',
      'now',
      1735732800,
      true,
    ]) {
      const { status, json } = await world.publish({ data: 1, pub_time: wrong });
      expect([wrong, status, json.status]).to.deep.equal([wrong, 400, '400 Bad Request']);
    }
  });

  it('knows topics in any case, percent-encoded and with slashes', async () => {
    await served();
    for (const topic of ['DEMO.1', 'demo%2E1', '%44emo.1', 'demo.a/b', 'demo.a%2Fb?x=1']) {
      expect((await world.publish({ data: topic }, topic)).status, topic).to.equal(200);
    }
    const names = (await world.get()).json.messages?.map(({ meta }) => meta.topic_name);
    expect(names).to.deep.equal(['demo.1', 'demo.1', 'demo.1', 'demo.a/b', 'demo.a/b']);
  });

  it('ignores topic_name, publisher and cid in the body', async () => {
    await served();
    const { meta } = await through({ data: 1, topic_name: 'off', publisher: 'x', cid: 'y' });
    expect(meta).to.include({ topic_name: 'demo.1' });
  });

  describe('F78: takes a body of exactly 8 MB, and answers 413 to one byte more', () => {
    for (const chunked of [false, true]) {
      it(chunked ? 'chunked' : 'with a length', async () => {
        await served();
        const headers: Record<string, string> = chunked ? { 'transfer-encoding': 'chunked' } : {};
        const shell = '{"data":""}'.length;
        const body = (bytes: number) => `{"data":"${'x'.repeat(bytes - shell)}"}`;
        const send = async (bytes: number) => {
          const req = request({
            port: world.port,
            method: 'POST',
            path: '/pubsub/topic/demo.1',
            agent: false,
            headers: { ...headers, authorization: basic('user.1') },
          });
          req.end(body(bytes));
          const [res] = await once(req, 'response');
          const parts: Buffer[] = [];
          for await (const part of res) parts.push(part as Buffer);
          return { status: res.statusCode, json: JSON.parse(Buffer.concat(parts).toString()) };
        };
        const exact = await send(8 * mebibyte);
        expect(exact.status).to.equal(200);
        const more = await send(8 * mebibyte + 1);
        expect(more.status).to.equal(413);
        expect(more.json).to.deep.equal({
          is_ok: false,
          cid: more.json.cid,
          details: 'The body is longer than 8388608 bytes',
          status: '413 Payload Too Large',
        });
        const got = await world.get();
        expect(got.json.messages?.map(({ meta }) => meta.size)).to.deep.equal([
          8 * mebibyte - shell,
        ]);
      });
    }

    it('at once when 100 MB are declared, and 401 to who may not', async () => {
      await served();
      for (const [credentials, expected] of [
        [basic('user.1'), /^HTTP\/1.1 413 /],
        [basic('user.2'), /^HTTP\/1.1 401 /],
      ] as const) {
        const socket = connect(world.port, '127.0.0.1');
        socket.write(
          `POST /pubsub/topic/demo.1 HTTP/1.1\r\nHost: a\r\nAuthorization: ${credentials}\r\nContent-Length: 104857600\r\n\r\n`,
        );
        const [data] = (await once(socket, 'data')) as [Buffer];
        expect(data.toString()).to.match(expected);
        expect(data.toString()).to.contain('Connection: close');
        socket.destroy();
      }
    });
  });

  it('keeps the connection after a refusal with a small body', async () => {
    await served();
    const { ask, port } = world;
    await ask('/pubsub/topic/demo.1', { data: 1 });
    const socket = connect(port, '127.0.0.1');
    const head = `Host: a\r\nAuthorization: ${basic('user.1')}\r\nContent-Length: 10\r\n\r\n{"data":1}`;
    for (const [topic, status] of [
      ['other', 401],
      ['off', 403],
      ['demo.1', 200],
    ]) {
      socket.write(`POST /pubsub/topic/${topic} HTTP/1.1\r\n${head}`);
      const [data] = (await once(socket, 'data')) as [Buffer];
      expect(data.toString()).to.match(new RegExp(`^HTTP/1.1 ${status} `));
      if (!data.toString().endsWith('}')) await once(socket, 'data');
    }
    socket.destroy();
  });

  it('F76, F77: the same Idempotency-Key gives the same message, and 422 with other data', async () => {
    await served();
    const send = (data: unknown, key: string) =>
      world.ask('/pubsub/topic/demo.1', { data }, { headers: { 'idempotency-key': key } });
    const answers = await Promise.all(Array.from({ length: 10 }, () => send('once', 'key-1')));
    expect(new Set(answers.map(({ json }) => json.msg_id)).size).to.equal(1);
    const duplicates = answers.filter(({ json }) => json.is_duplicate === true);
    expect(duplicates).to.have.length(9);
    expect(Object.keys(duplicates[0]?.json ?? {})).to.deep.equal([
      'is_ok',
      'cid',
      'msg_id',
      'status',
      'is_duplicate',
    ]);
    const other = await send('twice', 'key-1');
    expect([other.status, other.json.status]).to.deep.equal([422, '422 Unprocessable Entity']);
    expect(other.json.is_ok).to.equal(false);
    expect((await send('twice', 'key-2')).json).to.not.have.property('is_duplicate');
    expect((await world.get()).json.messages?.map(({ data }) => data)).to.deep.equal([
      'once',
      'twice',
    ]);
  });

  it('takes an Idempotency-Key of 1 to 255 visible ASCII characters', async () => {
    await served();
    const status = async (key: string) =>
      (
        await world.ask(
          '/pubsub/topic/demo.1',
          { data: 1 },
          { headers: { 'idempotency-key': key } },
        )
      ).status;
    expect(await status('x')).to.equal(200);
    expect(await status('~!'.repeat(127))).to.equal(200);
    expect(await status('y'.repeat(255))).to.equal(200);
    for (const wrong of ['', 'y'.repeat(256), 'a b', '\u00e9']) {
      expect(await status(wrong), wrong).to.equal(400);
    }
  });

  describe('says what became of it when the broker refuses', () => {
    const refusing = (fault: Error) =>
      served({
        broker: (real) => ({
          take: (subKey, options) => real.take(subKey, options),
          ack: (subKey, leases) => real.ack(subKey, leases),
          reject: (subKey, rejections) => real.reject(subKey, rejections),
          publish: () => Promise.reject(fault),
        }),
      });

    it('F48: 503 for a full queue, and when to come again', async () => {
      const full = new Fault('too-many', 'The queue of subscription sk1 is full', {
        retryAfterMs: 4_500,
      });
      await refusing(full);
      const { status, json, headers } = await world.publish({ data: 1 });
      expect([status, json.status, json.details, headers['retry-after']]).to.deep.equal([
        503,
        '503 Service Unavailable',
        'The queue of subscription sk1 is full',
        '5',
      ]);
    });

    it('500 without its inside for a bug, which is logged', async () => {
      await refusing(new TypeError('secret inside'));
      const { status, text, json } = await world.publish({ data: 1 });
      expect([status, json.details]).to.deep.equal([500, 'An error has occurred']);
      expect(text).to.not.contain('secret');
      const line = world.log.lines.find(({ level }) => level === 'error');
      expect(line?.facts).to.have.property('cid', json.cid);
    });

    it('429 as Zato\u2019s server says it when too many passwords wait', async () => {
      const identify = () => {
        throw new Fault('too-many', 'Too many passwords', { retryAfterMs: 1_000 });
      };
      await served({ authenticator: { identify, challenge: () => '' } });
      const { status, text, json, headers } = await world.publish({ data: 1 });
      expect(status).to.equal(429);
      expect(text).to.equal(`{"result":"Error","cid":"${json.cid}","details":"Too many requests"}`);
      expect(headers['retry-after']).to.match(/^\w{3}, \d\d \w{3} \d{4} [\d:]{8} GMT$/);
    });
  });

  it('F16: answers 503 "storage watermark" when Redis is nearly full, and goes on to deliver', async () => {
    await served({ limits: { watermark: 0 } });
    await world.broker.redis.config('SET', 'maxmemory', '100mb');
    try {
      // Memory is looked at now and then, and when a large message came.
      expect((await world.publish({ data: 'x'.repeat(10_000) })).status).to.equal(200);
      const { status, json, headers } = await world.publish({ data: 1 });
      expect([status, json.status, json.details]).to.deep.equal([
        503,
        '503 Service Unavailable',
        'storage watermark',
      ]);
      expect(Number(headers['retry-after'])).to.be.at.least(1);
      expect((await world.get()).json.message_count).to.equal(1);
    } finally {
      await world.broker.redis.config('SET', 'maxmemory', '0');
    }
  });

  it('F14: answers 503 within the deadline while Redis hangs, and that a retry with the key is safe', async () => {
    await served();
    process.kill(redis.pid, 'SIGSTOP');
    const startedAt = performance.now();
    try {
      const { status, json } = await world.publish({ data: 1 });
      expect(status).to.equal(503);
      expect(json.details).to.match(/outcome is unknown.*same Idempotency-Key is safe/);
      expect(performance.now() - startedAt).to.be.below(4_000);
    } finally {
      process.kill(redis.pid, 'SIGCONT');
    }
    expect((await world.publish({ data: 2 })).status).to.equal(200);
  });

  it('writes one debug line per request, without body and password', async () => {
    await served();
    await world.publish({ data: 'canary' });
    await world.publish('{');
    const lines = world.log.lines.filter(({ message }) => message.startsWith('pub/sub'));
    expect(lines.map(({ message, facts }) => [message, facts['status']])).to.deep.equal([
      ['pub/sub request served', 200],
      ['pub/sub request failed', 400],
    ]);
    expect(lines[0]?.facts).to.include({ method: 'POST', security: 'app', topic: 'demo.1' });
    expect(JSON.stringify(world.log.lines)).to.not.match(/canary|password/);
  });
});

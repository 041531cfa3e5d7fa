import { once } from 'node:events';
import { connect } from 'node:net';
import { expect } from 'chai';
import { startRedis, type TestRedis } from '../../../support/redis.ts';
import { until } from '../../../support/until.ts';
import { serving, stopAll, subKey, type World, type WorldOptions } from './fixture.ts';

const notAuthorized = 'You are not authorized to access this resource';
const year = 365 * 86_400_000;

describe('Zato 2.0 REST: consume, acknowledge, reject', () => {
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
  const publishAll = async (...payloads: readonly string[]) => {
    for (const one of payloads) expect((await world.publish(one)).status).to.equal(200);
  };
  const results = async (query?: string) => {
    const { status, text, json } = await world.consume(query);
    expect(status, text).to.equal(200);
    expect(json.status).to.equal('ZATO_OK');
    expect(json.results).to.have.length(json.results_count ?? -1);
    return json.results ?? [];
  };
  const depth = async () => {
    const [found] = await world.broker.broker.depth([subKey]);
    return found && { waiting: found.waiting, leased: found.leased, dead: found.dead };
  };
  const settled = async (id: string, query: string) => {
    const { status, text } = await world.settle(id, query);
    return [status, text];
  };
  const done = [200, '{"status": "ZATO_OK", "details": ""}'];
  const unknown = (id: string) => [
    200,
    `{"status": "ZATO_ERROR", "details": "Message not found \`${id}\`"}`,
  ];

  it('answers with payload and metadata in their order', async () => {
    await served();
    const published = await world.publish('Hello', '?priority=8&expiration=3600');
    const { text, json, headers } = await world.consume();
    expect(headers['content-type']).to.equal('application/json');
    const [{ metadata } = { metadata: undefined }] = json.results ?? [];
    const time = String.raw`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}`;
    expect(text).to.match(
      new RegExp(
        String.raw`^\{"status": "ZATO_OK", "results_count": 1, "results": \[\{"payload": "Hello", ` +
          String.raw`"metadata": \{"msg_id": "K[0-9A-Z]{27}", "topic": "/customer/created", ` +
          `"creation_time_utc": "${time}", "expiration": 3600, "expire_at_utc": "${time}", ` +
          String.raw`"producer": "CRM", "priority": 8, "mime_type": "text/plain"\}\}\]\}$`,
      ),
    );
    expect(metadata?.msg_id).to.equal(published.json.msg_id);
    const [created, expires] = [metadata?.creation_time_utc, metadata?.expire_at_utc].map((at) =>
      Date.parse(`${at}Z`),
    );
    expect((expires ?? 0) - (created ?? 0)).to.equal(3_600_000);
    expect(Math.abs(Date.now() - (created ?? 0))).to.be.below(5_000);
  });

  it('answers an empty queue with no results', async () => {
    await served();
    const { text } = await world.consume();
    expect(text).to.equal('{"status": "ZATO_OK", "results_count": 0, "results": []}');
  });

  it('gives any text and any bytes as a string, whatever they are called', async () => {
    await served();
    const json = { headers: { 'content-type': 'application/json' } };
    const payloads = [
      '',
      '"Hello"',
      ' {"a": 12345678901234567890} ',
      'null',
      'zażółć 😀 \u0000\u2028"\\',
    ];
    for (const one of payloads) {
      await world.publish(one);
      await world.publish(one, '', json);
    }
    const got = await results();
    expect(got.map(({ payload }) => payload)).to.deep.equal(payloads.flatMap((one) => [one, one]));
    expect(got.map(({ metadata }) => metadata.payload_encoding)).to.deep.equal(
      got.map(() => undefined),
    );
    await world.publish(Buffer.from([0xff, 0x00]));
    const [bytes] = await results();
    expect([bytes?.payload, bytes?.metadata.payload_encoding]).to.deep.equal(['/wA=', 'base64']);
  });

  it('gives what others published: strings without quotes, other JSON as its text', async () => {
    await served();
    const more = { publisher: 'some.service', expirationMs: 86_400_000 };
    for (const value of ['Hello', { a: [1] }, 5]) {
      await world.broker.publish('/customer/created', value, more);
    }
    const got = await results();
    expect(got.map(({ payload }) => payload)).to.deep.equal(['Hello', '{"a":[1]}', '5']);
    expect(got[0]?.metadata).to.include({
      mime_type: 'application/json',
      producer: 'some.service',
      expiration: 86_400,
    });
    await world.broker.publish('/customer/created', 1);
    expect((await results())[0]?.metadata.producer).to.equal(null);
  });

  it('gives high priority first, then the oldest; the other way round with lifo', async () => {
    await served();
    const publish = async () => {
      for (const [payload, priority] of [
        ['a', 5],
        ['b', 9],
        ['c', 5],
        ['d', 1],
      ] as const) {
        await world.publish(payload, `?priority=${priority}`);
      }
    };
    await publish();
    expect(await world.payloads('?dir=fifo')).to.deep.equal(['b', 'a', 'c', 'd']);
    await publish();
    expect(await world.payloads('?dir=lifo&max=3')).to.deep.equal(['d', 'c', 'a']);
    expect(await world.payloads('?dir=')).to.deep.equal(['b']);
  });

  it('gives at most `max`, 100 by default', async () => {
    await served();
    for (let n = 0; n < 105; n++) await world.broker.publish('/customer/created', n);
    expect(await world.payloads('?max=1')).to.deep.equal(['0']);
    expect(await world.payloads('?max=3')).to.deep.equal(['1', '2', '3']);
    expect(await world.payloads('?max=')).to.have.length(100);
    expect(await world.payloads('?max=5000')).to.deep.equal(['104']);
    for (const query of ['?max=0', '?max=-1', '?max=1e3', '?max=all', '?dir=up', '?format=csv']) {
      const { status, json } = await world.consume(query);
      expect([status, json.status], query).to.deep.equal([400, 'ZATO_ERROR']);
    }
    expect((await depth())?.waiting).to.equal(0);
  });

  it('gives messages of the topic alone, however many others wait before them', async () => {
    await served({ maxDepth: 5_000 });
    for (let n = 0; n < 1_200; n++) await world.broker.publish('/customer/new', n, { priority: 9 });
    await publishAll('a', 'b');
    expect(await world.payloads()).to.deep.equal(['a', 'b']);
    expect(await world.payloads('?dir=lifo')).to.deep.equal([]);
    expect(await depth()).to.deep.equal({ waiting: 1_200, leased: 2, dead: 0 });
  });

  it('drops what expired', async () => {
    await served();
    await world.broker.publish('/customer/created', 'old', { expirationMs: 1 });
    await publishAll('new');
    await until(async () => (await world.payloads('?max=1')).includes('new'));
    expect(await depth()).to.deep.equal({ waiting: 0, leased: 1, dead: 0 });
  });

  describe('answers in XML', () => {
    it('with the same fields, by the alphabet', async () => {
      await served();
      const { json } = await world.publish('a < b & "c" > d');
      const { text, headers } = await world.consume('?format=xml');
      expect(headers['content-type']).to.equal('application/xml');
      const shown = text.replaceAll(/\d{4}-\d\d-\d\dT[\d:.]+/g, 'TIME');
      expect(shown).to.equal(
        '<?xml version="1.0" encoding="UTF-8"?>\n<data><results><item><metadata>' +
          '<creation_time_utc>TIME</creation_time_utc><expiration>60</expiration>' +
          `<expire_at_utc>TIME</expire_at_utc><mime_type>text/plain</mime_type><msg_id>${json.msg_id}</msg_id>` +
          '<priority>5</priority><producer>CRM</producer><topic>/customer/created</topic></metadata>' +
          '<payload>a &lt; b &amp; "c" &gt; d</payload></item></results>' +
          '<results_count>1</results_count><status>ZATO_OK</status></data>',
      );
    });

    it('that gives every text back, with base64 for what XML cannot hold', async () => {
      await served();
      const texts = [']]>', ' \t\n\r\n\r ', '<a b="&amp;">', 'zażółć \uFFFD\u0085 😀', ''];
      const others = ['\u0000', 'a\u001fb', '\uFFFE', '\u000B'];
      await publishAll(...texts, ...others);
      const { text } = await world.consume('?format=xml');
      const payloads = [...text.matchAll(/<payload>([^<]*)<\/payload>/g)].map((match) =>
        unescaped(match[1] ?? ''),
      );
      const base64 = others.map((one) => Buffer.from(one).toString('base64'));
      expect(payloads).to.deep.equal([...texts, ...base64]);
      expect(text.match(/<payload_encoding>base64</g)).to.have.length(others.length);
      expect(text).to.not.match(/[^\t\n\r\u{20}-\u{D7FF}\u{E000}-\u{FFFD}\u{10000}-\u{10FFFF}]/u);
    });

    it('when there is nothing, and when something is wrong', async () => {
      await served();
      const { text } = await world.consume('?format=xml');
      expect(text).to.contain(
        '<data><results></results><results_count>0</results_count><status>ZATO_OK</status></data>',
      );
      const { text: missing } = await world.settle('K1', '?ack=true&format=xml');
      expect(missing).to.contain('<details>Message not found `K1`</details><status>ZATO_ERROR<');
    });
  });

  describe('refuses', () => {
    it('strangers with 401', async () => {
      await served();
      const answer = await world.consume('', { user: null });
      expect([answer.status, answer.text]).to.deep.equal([401, notAuthorized]);
      expect(answer.headers['www-authenticate']).to.equal('Zato pub/sub');
      expect((await world.settle('K1', '', { user: null })).status).to.equal(401);
    });

    it('who is not attached to the topic with 403', async () => {
      await served();
      for (const [user, topic] of [
        // Neither permitted nor subscribed; not subscribed; not permitted; subscribed to another.
        ['crm', '/customer/created'],
        ['hr', '/customer/created'],
        ['erp', '/nowhere'],
        ['erp', '/other'],
      ] as const) {
        const headers = { 'x-zato-pubsub-key': subKey };
        const answer = await world.ask(`/zato/pubsub/msg/${topic}/`, { user, headers });
        expect([answer.status, answer.text], `${user} ${topic}`).to.deep.equal([
          403,
          notAuthorized,
        ]);
      }
    });

    it('a key that is not the caller’s with 500', async () => {
      await served();
      await publishAll('a');
      for (const key of ['K06', subKey.toLowerCase(), ` ${subKey}x`]) {
        const headers = { 'x-zato-pubsub-key': key };
        for (const answer of [
          await world.consume('', { headers }),
          await world.settle('K1', '?ack=true', { headers }),
        ]) {
          expect(answer.status).to.equal(500);
          expect(answer.text).to.equal(
            `{"status": "ZATO_ERROR", "details": "Invalid sub_key \`${key.trim()}\`"}`,
          );
        }
      }
      const { json } = await world.ask('/zato/pubsub/msg//customer/created/', { user: 'erp' });
      expect(json.details).to.equal('Invalid sub_key ``: the header X-Zato-PubSub-Key is missing');
      // Whoever has no subscription has no key, though they know it.
      expect((await world.settle('K1', '?ack=true', { user: 'crm' })).status).to.equal(500);
      expect((await depth())?.waiting).to.equal(1);
    });

    it('more while as many as may be are in flight, with 500', async () => {
      await served();
      world.subscription.maxInflight = 2;
      await publishAll('a', 'b', 'c');
      const [first] = await results();
      const { status, text, headers } = await world.consume();
      expect(status).to.equal(500);
      expect(text).to.equal('{"status": "ZATO_ERROR", "details": "In-flight queue full (2/2)"}');
      expect(headers['retry-after']).to.equal('5');
      await world.settle(first?.metadata.msg_id ?? '', '?ack=true');
      expect(await world.payloads()).to.deep.equal(['c']);
    });

    it('neither and both of ack and reject with 400', async () => {
      await served();
      for (const [query, details] of [
        ['', 'Missing state to set, should be one of `ack, reject`'],
        ['?ack=false', 'Missing state to set, should be one of `ack, reject`'],
        ['?ack=&reject=', 'Missing state to set, should be one of `ack, reject`'],
        ['?ack=true&reject=true', 'Cannot both acknowledge and reject a message'],
        ['?ack=perhaps', 'Invalid value of ack `perhaps`, it must be true or false'],
      ] as const) {
        const { status, json } = await world.settle('K1', query);
        expect([status, json], query).to.deep.equal([400, { status: 'ZATO_ERROR', details }]);
      }
    });
  });

  describe('keeps what it gave in flight', () => {
    it('without an end, until it is acknowledged', async () => {
      await served();
      await publishAll('a');
      const [{ metadata } = { metadata: undefined }] = await results();
      const { broker } = world.broker;
      const item = await until(async () => {
        const { items } = await broker.browse(subKey, { state: 'leased' });
        return items[0]?.at !== undefined && items[0].at > Date.now() + year && items[0];
      });
      expect(item.deliveries).to.equal(1);
      await broker.tend();
      expect(await world.payloads()).to.deep.equal([]);
      expect(await settled(metadata?.msg_id ?? '', '?ack=true')).to.deep.equal(done);
      expect(await depth()).to.deep.equal({ waiting: 0, leased: 0, dead: 0 });
    });

    it('over another process, and after its expiry', async () => {
      const namespace = 'shared';
      await served({ namespace });
      await world.publish('a', '?expiration=1');
      const [{ metadata } = { metadata: undefined }] = await results();
      await stopAll();
      await served({ namespace });
      await until(async () => Date.now() > Date.parse(`${metadata?.expire_at_utc}Z`));
      await world.broker.broker.tend();
      expect(await depth()).to.deep.equal({ waiting: 0, leased: 1, dead: 0 });
      expect(await settled(metadata?.msg_id ?? '', '?ack=true')).to.deep.equal(done);
    });

    it('as long as the subscription says, where it does', async () => {
      await served();
      world.subscription.leaseMs = 20;
      await publishAll('a');
      expect(await world.payloads()).to.deep.equal(['a']);
      const again = await until(async () => {
        const got = await results();
        return got.length > 0 && got;
      });
      expect(again.map(({ payload }) => payload)).to.deep.equal(['a']);
    });

    it('not when the answer was not written whole', async () => {
      await served();
      for (const byte of ['a', 'b']) await world.publish(byte.repeat(8_000_000));
      const socket = connect(world.port, '127.0.0.1');
      socket.on('error', () => {});
      const auth = Buffer.from('erp:erp').toString('base64');
      socket.write(
        'POST /zato/pubsub/msg//customer/created/?max=1 HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n' +
          `Authorization: Basic ${auth}\r\nX-Zato-PubSub-Key: ${subKey}\r\n\r\n`,
      );
      socket.pause();
      await until(async () => (await depth())?.leased === 1);
      socket.resetAndDestroy();
      await once(socket, 'close');
      await until(async () => (await depth())?.waiting === 2);
      expect(await depth()).to.deep.equal({ waiting: 2, leased: 0, dead: 0 });
      const { items } = await world.broker.broker.browse(subKey, { state: 'waiting' });
      expect(items.map(({ failures }) => failures)).to.deep.equal([0, 0]);
    });
  });

  it('acknowledges once, by 2.0’s id, by any other, and by the publisher’s own', async () => {
    await served();
    const { msgId } = await world.broker.publish('/customer/created', 1);
    await world.publish('2', '?msg_id=my/id-2');
    await world.publish('3');
    const [one, two, three] = await results();
    expect(two?.metadata.msg_id).to.equal('my/id-2');
    for (const id of [msgId, 'my%2Fid-2', three?.metadata.msg_id ?? '']) {
      expect(await settled(id, '?ack=true'), id).to.deep.equal(done);
      const shown = decodeURIComponent(id);
      expect(await settled(id, '?ack=true'), id).to.deep.equal(unknown(shown));
    }
    expect(await settled(one?.metadata.msg_id ?? '', '?ack=1')).to.deep.equal(
      unknown(one?.metadata.msg_id ?? ''),
    );
    expect(await depth()).to.deep.equal({ waiting: 0, leased: 0, dead: 0 });
  });

  it('knows no id that is not in flight', async () => {
    await served();
    const { json } = await world.publish('a', '?msg_id=mine');
    const { json: other } = await world.publish('b');
    for (const id of ['123', 'mine', other.msg_id ?? '', `K${'0'.repeat(27)}`, 'zpsm.x', '%ff']) {
      const { status, json: reply } = await world.settle(id, '?ack=true');
      expect([status, reply.status], id).to.deep.equal([200, 'ZATO_ERROR']);
      expect(reply.details).to.match(/^Message not found `/);
    }
    expect(json.msg_id).to.equal('mine');
    expect((await depth())?.waiting).to.equal(2);
  });

  it('acknowledges the oldest of two with the same own id first', async () => {
    await served();
    for (const payload of ['a', 'b']) await world.publish(payload, '?msg_id=twin');
    expect(await world.payloads()).to.deep.equal(['a', 'b']);
    await world.settle('twin', '?ack=true');
    await world.settle('twin', '?reject=true');
    expect(await world.payloads()).to.deep.equal(['b']);
  });

  it('puts a rejected message back at the head of the queue, and in the end to the dead letters', async () => {
    await served();
    world.subscription.maxDeliveries = 3;
    await publishAll('a', 'b', 'c');
    const [first] = await results('?max=2');
    const id = first?.metadata.msg_id ?? '';
    expect(await settled(id, '?reject=true')).to.deep.equal(done);
    expect(await settled(id, '?reject=true')).to.deep.equal(unknown(id));
    expect(await world.payloads()).to.deep.equal(['a', 'c']);
    await world.settle(id, '?reject=yes');
    expect(await world.payloads('?max=1')).to.deep.equal(['a']);
    await world.settle(id, '?reject=true');
    expect(await depth()).to.deep.equal({ waiting: 0, leased: 2, dead: 1 });
    const { items } = await world.broker.broker.browse(subKey, { state: 'dead' });
    expect(items.map(({ reason, lastError }) => [reason, lastError])).to.deep.equal([
      ['max-deliveries', 'rejected by its consumer'],
    ]);
  });

  it('gives nothing while the subscription is paused, and takes acknowledgements', async () => {
    await served();
    await publishAll('a', 'b');
    const [first] = await results('?max=1');
    world.subscription.paused = true;
    expect(await world.payloads()).to.deep.equal([]);
    expect(await settled(first?.metadata.msg_id ?? '', '?ack=true')).to.deep.equal(done);
    world.subscription.paused = false;
    expect(await world.payloads()).to.deep.equal(['b']);
  });

  it('warns when what was given could not be held', async () => {
    await served({
      broker: (real) => ({
        publish: (publication) => real.publish(publication),
        take: (key, options) => real.take(key, options),
        leases: (key, ids) => real.leases(key, ids),
        ack: (key, leases) => real.ack(key, leases),
        reject: (key, rejections) => real.reject(key, rejections),
        extend: async () => {
          throw new Error('Redis is gone');
        },
      }),
    });
    await publishAll('a');
    expect(await world.payloads()).to.deep.equal(['a']);
    const line = await until(() => world.log.lines.find(({ level }) => level === 'warn'));
    expect(line).to.deep.include({ message: 'pub/sub messages not settled' });
    const { items } = await world.broker.broker.browse(subKey, { state: 'leased' });
    // It comes again: nobody says that the consumer has it.
    expect(items[0]?.at).to.be.below(Date.now() + 60_001);
  });
});

function unescaped(text: string): string {
  const signs: Readonly<Record<string, string>> = { lt: '<', gt: '>', amp: '&', '#13': '\r' };
  // As a parser does: first the ends of lines, then the escapes.
  return text
    .replaceAll(/\r\n?/g, '\n')
    .replaceAll(/&(lt|gt|amp|#13);/g, (_, name: string) => signs[name] ?? '');
}

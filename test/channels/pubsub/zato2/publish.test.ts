import { expect } from 'chai';
import { Fault } from '../../../../runtime/core/fault.ts';
import type { Delivery } from '../../../../runtime/pubsub/message.ts';
import { startRedis, type TestRedis } from '../../../support/redis.ts';
import { serving, stopAll, subKey, type World, type WorldOptions } from './fixture.ts';

const notAuthorized = 'You are not authorized to access this resource';

describe('Zato 2.0 REST: publish', () => {
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
  const taken = async (): Promise<Delivery> => {
    const [delivery] = await world.broker.broker.take(subKey, { max: 1 });
    if (!delivery) throw new Error('Nothing was taken');
    return delivery;
  };

  it('answers with status and id, and stores the payload as it is', async () => {
    await served();
    const { status, text, headers } = await world.publish('Hello pub/sub!');
    expect(status).to.equal(200);
    expect(text).to.match(/^\{"status": "ZATO_OK", "msg_id": "K[0-9A-HJKMNP-TV-Z]{27}"\}$/);
    expect(headers['content-type']).to.equal('application/json');
    const { message } = await taken();
    expect(message.data.toString()).to.equal('Hello pub/sub!');
    expect(message).to.include({
      topic: '/customer/created',
      publisher: 'CRM',
      priority: 5,
      expirationMs: 60_000,
      contentType: 'text/plain',
    });
  });

  it('takes all options from the query string, and none from body or headers', async () => {
    await served();
    const query = '?priority=9&expiration=3600&mime_type=text/csv&msg_id=mine-1';
    const { json } = await world.publish('a;b', query, { headers: { priority: '1' } });
    expect(json).to.deep.equal({ status: 'ZATO_OK', msg_id: 'mine-1' });
    const { message } = await taken();
    expect(message).to.include({
      priority: 9,
      expirationMs: 3_600_000,
      contentType: 'text/csv',
      givenId: 'mine-1',
    });
    await world.publish('{"priority":9}');
    expect((await taken()).message.priority).to.equal(5);
  });

  it('takes each option at its edges, and what is empty for absent', async () => {
    await served();
    const good = [
      '?priority=1',
      '?priority=9',
      '?priority=',
      '?expiration=1',
      '?expiration=1000000000000000',
      '?expiration=&mime_type=&msg_id=&format=',
      `?mime_type=${'x'.repeat(200)}`,
      `?msg_id=${'x'.repeat(200)}`,
      '?unknown=1',
    ];
    for (const query of good) {
      const { status, text } = await world.publish('x', query);
      expect(status, `${query} ${text}`).to.equal(200);
    }
    const bad = [
      ['?priority=0', 'a whole number from 1 to 9'],
      ['?priority=10', 'a whole number from 1 to 9'],
      ['?priority=5.5', 'a whole number from 1 to 9'],
      ['?expiration=0', 'a whole number from 1 to 1000000000000000'],
      ['?expiration=-1', 'a whole number from 1 to 1000000000000000'],
      ['?expiration=soon', 'a whole number from 1 to 1000000000000000'],
      [`?mime_type=${'x'.repeat(201)}`, 'The MIME type is not 1 to 200 printable ASCII characters'],
      ['?mime_type=a%0d%0ab', 'The MIME type is not 1 to 200 printable ASCII characters'],
      [`?msg_id=${'x'.repeat(201)}`, '1 to 200 visible ASCII characters'],
      ['?msg_id=a%22b', '1 to 200 visible ASCII characters'],
      ['?msg_id=a%20b', '1 to 200 visible ASCII characters'],
      ['?format=yaml', 'json or xml'],
    ] as const;
    for (const [query, text] of bad) {
      const { status, json } = await world.publish('x', query);
      expect([status, json.status], query).to.deep.equal([400, 'ZATO_ERROR']);
      expect(json.details).to.contain(text);
    }
  });

  it('lets the topic say what the request does not', async () => {
    await served();
    const path = '/zato/pubsub/topic//customer/rules/';
    await world.ask(path, { body: 'x' });
    expect((await taken()).message).to.include({ priority: 7, expirationMs: 3_600_000 });
    await world.ask(`${path}?priority=1&expiration=2`, { body: 'x' });
    expect((await taken()).message).to.include({ priority: 1, expirationMs: 2_000 });
  });

  it('has the type of the body from its header, and text where a form or nothing is said', async () => {
    await served();
    const types = [
      ['text/xml; charset=utf-8', '<a/>', 'text/xml; charset=utf-8'],
      ['application/x-www-form-urlencoded', 'Hello', 'text/plain'],
      [undefined, 'Hello', 'text/plain'],
      ['application/json', '{"a":12345678901234567890}', 'application/json'],
      // Nobody who reads it as JSON must stumble.
      ['application/json', 'Hello', 'text/plain'],
      ['application/json', '', 'text/plain'],
      ['application/vnd.a+json', '{', 'text/plain'],
      ['Application/JSON', Buffer.from([0x22, 0xff, 0x22]), 'text/plain'],
    ] as const;
    for (const [type, body, expected] of types) {
      await world.publish(body, '', {
        headers: type === undefined ? {} : { 'content-type': type },
      });
      const { message } = await taken();
      expect(message.contentType).to.equal(expected);
      expect(message.data).to.deep.equal(Buffer.from(body));
    }
  });

  it('takes topics in any case, escaped, and without a slash at their beginning', async () => {
    await served({ topics: ['**'] });
    for (const path of ['//Customer/CREATED/', '/%2Fcustomer%2Fcreated/']) {
      const { status, text } = await world.ask(`/zato/pubsub/topic${path}`, { body: 'x' });
      expect(status, `${path} ${text}`).to.equal(200);
      expect((await taken()).message.topic).to.equal('/customer/created');
    }
    const { status } = await world.ask('/zato/pubsub/topic/customer/created/', { body: 'x' });
    expect(status).to.equal(403);
  });

  it('leaves a path without the slash at its end, and what is no item, to others', async () => {
    await served();
    for (const path of ['topic//customer/created', 'msg//customer/created', 'topic//', 'topic/']) {
      const { status } = await world.ask(`/zato/pubsub/${path}`, { body: 'x' });
      expect(status, path).to.equal(404);
    }
  });

  it('answers 401 to strangers, in text and with a challenge of its own', async () => {
    await served();
    const headers = { authorization: 'Basic !' };
    const basic = (text: string) => `Basic ${Buffer.from(text).toString('base64')}`;
    for (const asking of [
      { user: null },
      { user: null, headers },
      { user: 'nobody' },
      { user: null, headers: { authorization: basic('crm:wrong') } },
      { user: null, headers: { authorization: 'Bearer crm' } },
    ]) {
      const answer = await world.publish('x', '', asking);
      expect([answer.status, answer.text]).to.deep.equal([401, notAuthorized]);
      expect(answer.headers['www-authenticate']).to.equal('Zato pub/sub');
      expect(answer.headers['content-type']).to.match(/^text\/plain/);
    }
    // Before anything else is looked at.
    const other = await world.ask('/zato/pubsub/queue/x/?format=yaml', { user: null });
    expect(other.status).to.equal(401);
  });

  it('answers 400 to an item that is neither a topic nor a message', async () => {
    await served();
    for (const item of ['queue', 'topics', 'TOPIC']) {
      const { status, json } = await world.ask(`/zato/pubsub/${item}//customer/created/`);
      expect(status).to.equal(400);
      expect(json).to.deep.equal({
        status: 'ZATO_ERROR',
        details: 'None of the supported resources `topic, msg` found in URL path',
      });
    }
  });

  it('answers 403 in text to who is not attached to the topic, be there such a topic or not', async () => {
    await served();
    for (const [user, topic] of [
      ['erp', '/customer/created'],
      ['hr', '/customer/created'],
      ['crm', '/other'],
      ['crm', '/nowhere'],
      ['crm', '/caf%C3%A9'],
      ['crm', '/%ff'],
      ['crm', '/a%23b'],
      ['crm', `/${'x'.repeat(300)}`],
    ] as const) {
      const answer = await world.ask(`/zato/pubsub/topic/${topic}/`, { user, body: 'x' });
      expect([answer.status, answer.text], `${user} ${topic}`).to.deep.equal([403, notAuthorized]);
    }
  });

  it('answers 403 when the topic is not there or not enabled', async () => {
    await served();
    for (const topic of ['/customer/none', '/customer/off', '/off']) {
      const { status, text } = await world.ask(`/zato/pubsub/topic/${topic}/`, { body: 'x' });
      expect(status, topic).to.equal(403);
      expect(text).to.equal('{"status": "ZATO_ERROR", "details": "Permission denied"}');
    }
  });

  it('answers 405 to other methods, with what it takes', async () => {
    await served();
    for (const [method, path, allow] of [
      ['GET', '/zato/pubsub/topic//customer/created/', 'POST'],
      ['DELETE', '/zato/pubsub/topic//customer/created/', 'POST'],
      ['PATCH', '/zato/pubsub/msg//customer/created/', 'POST, DELETE'],
    ] as const) {
      const { status, headers } = await world.ask(path, { method });
      expect([status, headers['allow']], `${method} ${path}`).to.deep.equal([405, allow]);
    }
  });

  it('answers 413 to what is longer than the topic takes, or than anybody does', async () => {
    await served();
    const small = '/zato/pubsub/topic//customer/small/';
    expect((await world.ask(small, { body: 'x'.repeat(10) })).status).to.equal(200);
    const { status, json } = await world.ask(small, { body: 'x'.repeat(11) });
    expect([status, json.status]).to.deep.equal([413, 'ZATO_ERROR']);
    const limit = 8 * 1_048_576;
    expect((await world.publish(Buffer.alloc(limit, 'x'))).status).to.equal(200);
    expect((await world.publish(Buffer.alloc(limit + 1, 'x'))).status).to.equal(413);
  });

  it('answers 500 when a queue is full, without telling whose', async () => {
    await served({ maxDepth: 2 });
    for (const body of ['1', '2']) expect((await world.publish(body)).status).to.equal(200);
    const { status, json, headers } = await world.publish('3');
    expect(status).to.equal(500);
    expect(json).to.deep.equal({
      status: 'ZATO_ERROR',
      details: 'Topic `/customer/created` is full',
    });
    expect(headers['retry-after']).to.equal('5');
    expect(await world.payloads()).to.deep.equal(['1', '2']);
  });

  it('answers 500 when Redis does not, and says when to come again', async () => {
    await served();
    expect((await world.publish('x')).status).to.equal(200);
    world.broker.redis.disconnect();
    const { status, json, headers } = await world.publish('x');
    expect([status, json.status]).to.deep.equal([500, 'ZATO_ERROR']);
    expect(headers['retry-after']).to.match(/^\d+$/);
  });

  it('answers 429 to too many strangers at once', async () => {
    const retryAfterMs = 1_000;
    const identify = () => {
      throw new Fault('too-many', 'Too many passwords', { retryAfterMs });
    };
    await served({ authenticator: { identify } });
    const { status, headers } = await world.publish('x');
    expect([status, headers['retry-after']]).to.deep.equal([429, '1']);
  });

  it('says nothing of what went wrong inside, but for the log', async () => {
    const identify = () => {
      throw new TypeError('secret');
    };
    await served({ authenticator: { identify } });
    const { status, text } = await world.publish('x');
    expect(status).to.equal(500);
    expect(text).to.equal('{"status": "ZATO_ERROR", "details": "An error has occurred"}');
    expect(world.log.lines.filter(({ level }) => level === 'error')).to.have.length(1);
  });

  it('answers in XML when asked', async () => {
    await served();
    const { text, headers } = await world.publish('x', '?format=xml&msg_id=a%26b');
    expect(text).to.equal(
      '<?xml version="1.0" encoding="UTF-8"?>\n<data><msg_id>a&amp;b</msg_id><status>ZATO_OK</status></data>',
    );
    expect(headers['content-type']).to.equal('application/xml');
    const refused = await world.publish('x', '?format=xml&priority=%00%3C');
    expect(refused.status).to.equal(400);
    expect(refused.text).to.contain('`\uFFFD&lt;`').and.to.contain('<status>ZATO_ERROR</status>');
  });
});

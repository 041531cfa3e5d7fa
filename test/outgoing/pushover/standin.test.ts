import { createServer } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { expect } from 'chai';
import { request as httpRequest } from 'undici';
import { PushoverStandin } from '../../../outgoing/pushover/standin.ts';
import { standins } from '../../../outgoing/standins.ts';
import type { StandinMessage } from '../../../runtime/admin/api.ts';
import { rejection } from '../../support/rejection.ts';
import { until } from '../../support/until.ts';
import { steppedClock } from '../fixture.ts';
import { token, user } from './fixture.ts';

const clock = steppedClock(Date.UTC(2026, 0, 15));
const messages = '/1/messages.json';

interface Reply {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly json: Record<string, unknown>;
}

describe('The Pushover stand-in', () => {
  const shown: StandinMessage[] = [];
  const standin = new PushoverStandin({
    now: clock.now,
    quota: 200,
    onMessage: (message) => shown.push(message),
  });
  let url = '';

  before(async () => {
    url = await standin.start();
  });
  after(() => standin.stop());
  beforeEach(() => {
    standin.clear();
    shown.length = 0;
  });

  async function call(method: string, path: string, body?: string, type?: string): Promise<Reply> {
    const headers = type === undefined ? {} : { 'content-type': type };
    const reply = await httpRequest(url + path, {
      method: method as 'GET',
      headers,
      body: body ?? null,
    });
    const text = await reply.body.text();
    const json = text.startsWith('{') ? JSON.parse(text) : {};
    return { status: reply.statusCode, headers: reply.headers, json };
  }

  const form = 'application/x-www-form-urlencoded';
  const send = (fields: Record<string, string>) =>
    call(
      'POST',
      messages,
      new URLSearchParams({ token, user, message: 'hi', ...fields }).toString(),
      form,
    );

  const accepted: [string, Record<string, string>][] = [
    ['a plain message', {}],
    ['50 users', { user: Array(50).fill(user).join(',') }],
    ['a message of 1024 characters', { message: 'x'.repeat(1_024) }],
    ['a message of 1024 emoji', { message: '😀'.repeat(1_024) }],
    ['a title of 250 characters', { title: 'ü'.repeat(250) }],
    ['a url of 512 characters', { url: 'u'.repeat(512) }],
    ['a url title of 100 characters', { url_title: 'u'.repeat(100) }],
    ['a device of 25 characters', { device: 'd'.repeat(25) }],
    ['two devices', { device: 'phone,tablet' }],
    ['a device that is ignored with two users', { user: `${user},${user}`, device: 'not valid' }],
    ['priority -2', { priority: '-2' }],
    ['priority 1', { priority: '1' }],
    ['an empty priority', { priority: '' }],
    ['retry and expire that are ignored without priority 2', { retry: '1', expire: '99999' }],
    ['priority 2 at its lower edges', { priority: '2', retry: '30', expire: '1' }],
    ['priority 2 at its upper edge', { priority: '2', retry: '60', expire: '10800' }],
    ['html', { html: '1' }],
    ['monospace', { monospace: '1' }],
    ['html with monospace 0', { html: '1', monospace: '0' }],
    ['a built-in sound', { sound: 'cosmic' }],
    ['a custom sound', { sound: 'my-horn' }],
    ['a blank sound', { sound: '' }],
    ['a ttl of one second', { ttl: '1' }],
    ['a timestamp', { timestamp: '1768435200' }],
    ['an unknown field', { colour: 'red' }],
    ['an image', { attachment_base64: 'aGk=', attachment_type: 'image/png' }],
  ];
  for (const [what, fields] of accepted) {
    it(`accepts ${what}`, async () => {
      const { status, json, headers } = await send(fields);
      expect([status, json['status']]).to.deep.equal([200, 1]);
      expect(json['request']).to.match(/^[0-9a-f-]{36}$/);
      expect(headers['x-request-id']).to.equal(json['request']);
    });
  }

  const invalidUser = 'user identifier is not a valid user, group, or subscribed user key';
  const invalidToken = 'application token is invalid, see https://pushover.net/api';
  const refused: [string, Record<string, string>, string, string][] = [
    ['no token', { token: '' }, 'token', invalidToken],
    ['a token of 29 characters', { token: token.slice(1) }, 'token', invalidToken],
    ['a token with a sign', { token: `${token.slice(1)}-` }, 'token', invalidToken],
    ['token before user', { token: 'x', user: 'x' }, 'token', invalidToken],
    ['no user', { user: '' }, 'user', invalidUser],
    ['a user of 31 characters', { user: `${user}x` }, 'user', invalidUser],
    ['51 users', { user: Array(51).fill(user).join(',') }, 'user', invalidUser],
    ['users with a space', { user: `${user}, ${user}` }, 'user', invalidUser],
    ['user before message', { user: 'x', message: '' }, 'user', invalidUser],
    ['no message', { message: '' }, 'message', 'message cannot be blank'],
    ['a blank message', { message: ' \n' }, 'message', 'message cannot be blank'],
    [
      'message before lengths',
      { message: '', title: 'x'.repeat(251) },
      'message',
      'message cannot be blank',
    ],
    [
      'a message of 1025 characters',
      { message: 'x'.repeat(1_025) },
      'message',
      'message is too long, limit is 1024 characters',
    ],
    [
      'a message of 1025 emoji',
      { message: '😀'.repeat(1_025) },
      'message',
      'message is too long, limit is 1024 characters',
    ],
    [
      'a title of 251 characters',
      { title: 'x'.repeat(251) },
      'title',
      'title is too long, limit is 250 characters',
    ],
    [
      'a url of 513 characters',
      { url: 'u'.repeat(513) },
      'url',
      'url is too long, limit is 512 characters',
    ],
    [
      'a url title of 101 characters',
      { url_title: 'u'.repeat(101) },
      'url_title',
      'url_title is too long, limit is 100 characters',
    ],
    [
      'a device of 26 characters',
      { device: 'd'.repeat(26) },
      'device',
      'device name is not valid for this user',
    ],
    [
      'a device with a space',
      { device: 'my phone' },
      'device',
      'device name is not valid for this user',
    ],
    ['priority 3', { priority: '3' }, 'priority', 'priority is invalid, must be between -2 and 2'],
    [
      'a priority that is a word',
      { priority: 'high' },
      'priority',
      'priority is invalid, must be between -2 and 2',
    ],
    [
      'priority 2 without retry',
      { priority: '2', expire: '60' },
      'retry',
      'retry must be supplied with priority=2',
    ],
    [
      'priority 2 without expire',
      { priority: '2', retry: '30' },
      'expire',
      'expire must be supplied with priority=2',
    ],
    [
      'a retry of 29 s',
      { priority: '2', retry: '29', expire: '60' },
      'retry',
      'retry must be at least 30 seconds',
    ],
    [
      'an expire of 0 s',
      { priority: '2', retry: '30', expire: '0' },
      'expire',
      'expire must be between 1 and 10800 seconds',
    ],
    [
      'an expire of 10801 s',
      { priority: '2', retry: '30', expire: '10801' },
      'expire',
      'expire must be between 1 and 10800 seconds',
    ],
    [
      'html with monospace',
      { html: '1', monospace: '1' },
      'html',
      'html and monospace cannot both be set',
    ],
    [
      'lengths before priority',
      { title: 'x'.repeat(251), priority: '3' },
      'title',
      'title is too long, limit is 250 characters',
    ],
    ['a ttl of 0', { ttl: '0' }, 'ttl', 'ttl must be a whole number of at least 1'],
    ['a ttl that is a word', { ttl: 'soon' }, 'ttl', 'ttl must be a whole number of at least 1'],
    ['a sound with a space', { sound: 'so loud' }, 'sound', 'sound is invalid'],
    [
      'a timestamp that is a date',
      { timestamp: '2026-01-15' },
      'timestamp',
      'timestamp must be a whole number of at least 0',
    ],
    [
      'an attachment that is no image',
      { attachment_base64: 'aGk=', attachment_type: 'text/plain' },
      'attachment',
      'attachment must be an image',
    ],
  ];
  for (const [what, fields, field, text] of refused) {
    it(`refuses ${what}`, async () => {
      const { status, json } = await send(fields);
      expect(status).to.equal(400);
      const { request, ...rest } = json;
      expect(rest).to.deep.equal({ [field]: 'invalid', errors: [text], status: 0 });
      expect(request).to.be.a('string');
    });
  }

  it('names both retry and expire when an emergency has neither', async () => {
    const { json } = await send({ priority: '2' });
    expect(json['errors']).to.deep.equal([
      'retry must be supplied with priority=2',
      'expire must be supplied with priority=2',
    ]);
  });

  it('takes JSON and multipart bodies too', async () => {
    const asJson = await call(
      'POST',
      messages,
      JSON.stringify({ token, user, message: 'hi', priority: 1 }),
      'application/json',
    );
    const parts = new FormData();
    for (const [name, value] of Object.entries({ token, user, message: 'hi' }))
      parts.set(name, value);
    parts.set('attachment', new Blob([Buffer.alloc(5_242_880)], { type: 'image/png' }), 'a.png');
    const asParts = await fetch(url + messages, { method: 'POST', body: parts });
    parts.set('attachment', new Blob([Buffer.alloc(5_242_881)], { type: 'image/png' }), 'a.png');
    const tooLarge = await fetch(url + messages, { method: 'POST', body: parts });
    expect([asJson.status, asParts.status, tooLarge.status]).to.deep.equal([200, 200, 400]);
    expect(await tooLarge.json()).to.deep.include({
      errors: ['attachment is too large, limit is 5242880 bytes'],
    });
  });

  const strange: [string, string, string, string | undefined, number][] = [
    ['GET', messages, undefined as unknown as string, undefined, 405],
    ['POST', '/1/nothing.json', '', undefined, 404],
    ['POST', messages, '{"token":', 'application/json', 400],
    ['POST', messages, '<a/>', 'application/xml', 400],
    ['POST', messages, '[]', 'application/json', 400],
    ['GET', '/1/sounds.json', undefined as unknown as string, undefined, 400],
    ['GET', `/1/receipts/nope.json?token=${token}`, undefined as unknown as string, undefined, 404],
  ];
  for (const [method, path, body, type, status] of strange) {
    it(`answers ${status} to ${method} ${path} of ${type ?? 'nothing'}`, async () => {
      const reply = await call(method, path, body, type);
      expect([reply.status, reply.json['status']]).to.deep.equal([status, 0]);
    });
  }

  it('validates users and lists sounds and limits', async () => {
    const body = new URLSearchParams({ token, user }).toString();
    const users = await call('POST', '/1/users/validate.json', body, form);
    const none = await call('POST', '/1/users/validate.json', `token=${token}&user=x`, form);
    const sounds = await call('GET', `/1/sounds.json?token=${token}`);
    const limits = await call('GET', `/1/apps/limits.json?token=${token}`);
    expect([users.json['devices'], none.json['user']]).to.deep.equal([['phone'], 'invalid']);
    expect(Object.keys(sounds.json['sounds'] as object)).to.have.lengthOf(23);
    expect(limits.json).to.include({
      limit: 200,
      remaining: 200,
      reset: Date.UTC(2026, 1, 1, 6) / 1_000,
    });
  });

  it('counts the quota per user, tells it in three headers and answers 429 when it is used up', async () => {
    const fifty = { user: Array(50).fill(user).join(',') };
    const first = await send(fifty);
    for (let more = 0; more < 2; more++) await send(fifty);
    await send({ user: Array(49).fill(user).join(',') });
    const last = await send({ user });
    const over = await send({ user });
    expect(first.headers).to.include({
      'x-limit-app-limit': '200',
      'x-limit-app-remaining': '150',
      'x-limit-app-reset': String(Date.UTC(2026, 1, 1, 6) / 1_000),
    });
    expect([last.status, last.headers['x-limit-app-remaining']]).to.deep.equal([200, '0']);
    expect([over.status, over.headers['x-limit-app-remaining']]).to.deep.equal([429, '0']);
  });

  it('follows an emergency until it is acknowledged, and calls back', async () => {
    const calls: string[] = [];
    const listener = createServer(async (request, response) => {
      let body = '';
      for await (const chunk of request) body += chunk;
      calls.push(body);
      response.end();
    });
    await new Promise<void>((resolve) => listener.listen(0, '127.0.0.1', resolve));
    const callback = `http://127.0.0.1:${(listener.address() as AddressInfo).port}/`;
    const sent = await send({ priority: '2', retry: '30', expire: '3600', callback });
    const receipt = String(sent.json['receipt']);
    const sentAt = Math.floor(clock.now() / 1_000);
    const view = async () => (await call('GET', `/1/receipts/${receipt}.json?token=${token}`)).json;

    clock.advance(95_000);
    expect(await view()).to.include({
      acknowledged: 0,
      last_delivered_at: sentAt + 90,
      expired: 0,
      called_back: 0,
    });
    await standin.acknowledge(receipt);

    expect(receipt).to.match(/^[A-Za-z0-9]{30}$/);
    expect(await view()).to.include({
      acknowledged: 1,
      acknowledged_at: sentAt + 95,
      called_back: 1,
      expired: 0,
    });
    expect(calls).to.have.lengthOf(1);
    expect(calls[0]).to.contain(`receipt=${receipt}&acknowledged=1`);
    listener.closeAllConnections();
    await new Promise((resolve) => listener.close(resolve));
  });

  it('repeats an emergency 50 times at most, lets it expire, and forgets it after a week', async () => {
    const sent = await send({ priority: '2', retry: '30', expire: '10800' });
    const path = `/1/receipts/${sent.json['receipt']}.json?token=${token}`;
    const sentAt = Math.floor(clock.now() / 1_000);
    clock.advance(10_799_000);
    expect((await call('GET', path)).json).to.include({
      expired: 0,
      last_delivered_at: sentAt + 49 * 30,
    });
    clock.advance(1_000);
    expect((await call('GET', path)).json).to.include({ expired: 1 });
    clock.advance(7 * 86_400_000);
    expect((await call('GET', path)).status).to.equal(404);
  });

  it('cancels emergencies by receipt and by tag', async () => {
    const emergency = { priority: '2', retry: '30', expire: '3600' };
    const one = await send(emergency);
    await send({ ...emergency, tags: 'db,disk', message: 'two' });
    const body = `token=${token}`;
    const byId = await call('POST', `/1/receipts/${one.json['receipt']}/cancel.json`, body, form);
    const byTag = await call('POST', '/1/receipts/cancel_by_tag/disk.json', body, form);
    const again = await call('POST', '/1/receipts/cancel_by_tag/disk.json', body, form);
    clock.advance(1_000);
    const gone = await call('GET', `/1/receipts/${one.json['receipt']}.json?token=${token}`);
    expect([byId.status, byTag.json['canceled'], again.json['canceled']]).to.deep.equal([
      200, 1, 0,
    ]);
    expect(gone.json['expired']).to.equal(1);
  });

  it('blocks a client after 10 refusals in 60 s, longer while it goes on', async () => {
    for (let count = 0; count < 10; count++)
      expect((await send({ user: 'x' })).status).to.equal(400);
    expect((await send({})).status).to.equal(403);
    clock.advance(59_999);
    expect((await send({})).status).to.equal(403);
    clock.advance(60_000);
    expect((await send({})).status).to.equal(200);
    expect(standin.log().violations).to.include('10 refused calls in 60 s: blocked');
  });

  it('does not block after 9 refusals, nor for quota or server errors', async () => {
    for (let count = 0; count < 9; count++) await send({ user: 'x' });
    standin.mode('429', 5);
    for (let count = 0; count < 5; count++) await send({});
    expect((await send({})).status).to.equal(200);
    expect(standin.log().violations).to.deep.equal([]);
  });

  it('minds the same body again within 5 s of a server error', async () => {
    standin.mode('500', 1);
    expect((await send({})).status).to.equal(500);
    clock.advance(4_999);
    expect((await send({})).status).to.equal(400);
    clock.advance(1);
    expect((await send({})).status).to.equal(200);
    expect(standin.log().violations).to.deep.equal([
      'the same body 4999 ms after it failed, at least 5000 are required',
    ]);
  });

  it('minds a third socket', async () => {
    const { port } = new URL(url);
    await until(() => standin.log().sockets.open === 0 || undefined, 100).catch(() => {});
    const sockets: Socket[] = [1, 2, 3].map(() => connect(Number(port), '127.0.0.1'));
    await until(() => standin.log().violations.length > 0);
    expect(standin.log().violations[0]).to.match(/^\d sockets at once, at most 2 are allowed$/);
    for (const socket of sockets) socket.destroy();
    await until(() => standin.log().sockets.open <= 2);
  });

  it('answers in the mode it was told, for as many calls', async () => {
    const set = await call('POST', '/__mode', '{"status":"200-status0","count":1}');
    const refusedOnce = await send({});
    const then = await send({});
    expect(set.json).to.deep.equal({ mode: '200-status0', count: 1 });
    expect([refusedOnce.status, refusedOnce.json['status'], then.json['status']]).to.deep.equal([
      200, 0, 1,
    ]);
  });

  for (const mode of ['half', 'rst'] as const) {
    it(`can break the reply off: ${mode}`, async () => {
      standin.mode(mode, 1);
      expect(await rejection(send({ message: mode }))).to.have.property('code');
    });
  }

  it('can answer HTML with a 500 and JSON that is broken', async () => {
    standin.mode('html500', 1);
    const html = await send({ message: 'html' });
    standin.mode('badjson', 1);
    const bad = await rejection(send({}));
    expect([html.status, html.headers['content-type'], bad.name]).to.deep.equal([
      500,
      'text/html',
      'SyntaxError',
    ]);
  });

  it('refuses a mode that it does not know', async () => {
    const reply = await call('POST', '/__mode', '{"status":"mood"}');
    expect(reply.status).to.equal(400);
    expect(reply.json['error']).to.contain('one of ok 500 429');
  });

  it('keeps what would have been sent, newest first, and tells who listens', async () => {
    await send({ title: 'One', message: 'first' });
    await send({ message: 'x'.repeat(1_025) });
    const [refusedOne, first] = standin.messages();
    expect(first).to.deep.include({ title: 'One', message: 'first', status: 200 });
    expect(first?.body).to.equal(
      new URLSearchParams({ token, user, message: 'first', title: 'One' }).toString(),
    );
    expect(refusedOne).to.include({ status: 400, title: '' });
    expect(shown).to.deep.equal([first, refusedOne]);
    const log = await call('GET', '/__log');
    expect(log.json['requests']).to.have.lengthOf(2);
    standin.clear();
    expect(standin.messages()).to.deep.equal([]);
  });

  it('is in the table of stand-ins, and stops twice', async () => {
    const made = standins.get('pushover')?.();
    expect(await made?.start()).to.match(/^http:\/\/127\.0\.0\.1:\d+$/);
    await made?.stop();
    await made?.stop();
    expect(made?.messages()).to.deep.equal([]);
  });
});

import { expect } from 'chai';
import { Fault } from 'hence';
import { type StubReply, testService } from 'hence/testing';
import { Created } from '../../services/order.ts';
import { SendMessage } from '../../services/pushover.ts';
import { rejection } from '../support/rejection.ts';

const token = 'azGDORePK8gMaC0QOYAMyEEuzJnyUi';
const key = 'uQiRzpo4DXghDmr9QzzfQu27cmVRsG';
const accepted = { json: { status: 1, request: 'abc' } };

/** The two Redis reads of the service, over a plain table. */
function redis(
  table: Record<string, string | undefined> = {
    'users.sean/pushover': key,
    'app.pushover.token': token,
  },
) {
  return {
    hget: async (name: string, field: string) => table[`${name}/${field}`] ?? null,
    get: async (name: string) => table[name] ?? null,
  };
}

function service(reply: StubReply | Fault = accepted, kvdb: object = redis()) {
  return testService(SendMessage, { outgoing: { pushover: reply }, kvdb });
}

async function fault(promise: Promise<unknown>): Promise<Fault> {
  const error = await rejection(promise);
  if (Fault.is(error)) return error;
  throw error;
}

describe('pushover.send-message', () => {
  it('sends the form that Pushover wants, and answers its status and request', async () => {
    const tested = service();
    const input = { user: 'sean', message: 'a & b', subject: 'Test message' };
    expect(await tested.invoke(input)).to.deep.equal({ status: 1, request: 'abc' });
    const form = new URLSearchParams({ token, user: key, message: 'a & b', title: 'Test message' });
    expect(String(tested.sent[0]?.data)).to.equal(form.toString());
  });

  it('sends no title without a subject', async () => {
    const tested = service();
    await tested.invoke({ user: 'sean', message: 'hi' });
    expect(String(tested.sent[0]?.data)).to.equal(`token=${token}&user=${key}&message=hi`);
  });

  for (const testing of [true, 'true', 1, 'yes']) {
    it(`logs and does not send when testing is ${JSON.stringify(testing)}`, async () => {
      const tested = service();
      const reply = await tested.invoke({ user: 'sean', message: 'hi', testing });
      expect(reply).to.deep.equal({ status: 1, request: 'test' });
      expect(tested.sent).to.deep.equal([]);
      expect(tested.logs.map(({ message }) => message)).to.include(
        'notification not sent: testing',
      );
    });
  }

  for (const testing of [false, 'false', '0', '', null]) {
    it(`sends when testing is ${JSON.stringify(testing)}`, async () => {
      const tested = service();
      await tested.invoke({ user: 'sean', message: 'hi', testing });
      expect(tested.sent).to.have.lengthOf(1);
    });
  }

  const wrong: [string, Record<string, unknown>, string][] = [
    ['a user with a sign', { user: 'se an' }, 'user must be'],
    ['a user of 65 letters', { user: 'x'.repeat(65) }, 'user must be'],
    ['a blank message', { message: ' ' }, 'message must not be blank'],
    [
      'a message of 1025 characters',
      { message: '😀'.repeat(1_025) },
      'message has 1025 characters, at most 1024',
    ],
    [
      'a subject of 251 characters',
      { subject: 'x'.repeat(251) },
      'subject has 251 characters, at most 250',
    ],
  ];
  for (const [what, given, says] of wrong) {
    it(`refuses ${what} and sends nothing`, async () => {
      const tested = service();
      const error = await fault(tested.invoke({ user: 'sean', message: 'hi', ...given }));
      expect(error.code).to.equal('bad-request');
      expect(error.message).to.contain(says);
      expect(tested.sent).to.deep.equal([]);
    });
  }

  it('takes a message of 1024 emoji and a subject of 250 characters', async () => {
    const tested = service();
    await tested.invoke({ user: 'sean', message: '😀'.repeat(1_024), subject: 'ü'.repeat(250) });
    expect(tested.sent).to.have.lengthOf(1);
  });

  it('refuses a call without user or message', async () => {
    expect((await fault(service().invoke({ message: 'hi' }))).code).to.equal('bad-request');
    expect((await fault(service().invoke({ user: 'sean' }))).code).to.equal('bad-request');
  });

  const tables: [string, Record<string, string | undefined>, string, string][] = [
    [
      'an unknown user',
      { 'app.pushover.token': token },
      'not-found',
      'No Pushover key for user sean',
    ],
    ['no token', { 'users.sean/pushover': key }, 'unavailable', 'No Pushover application token'],
    [
      'a token of another shape',
      { 'users.sean/pushover': key, 'app.pushover.token': 'short' },
      'unavailable',
      'app.pushover.token is not',
    ],
    [
      'a key of another shape',
      { 'users.sean/pushover': 'short', 'app.pushover.token': token },
      'unavailable',
      'The Pushover key of user sean',
    ],
  ];
  for (const [what, table, code, says] of tables) {
    it(`says clearly that there is ${what}, and sends nothing`, async () => {
      const tested = service(accepted, redis(table));
      const error = await fault(tested.invoke({ user: 'sean', message: 'hi' }));
      expect(error.code).to.equal(code);
      expect(error.message).to.contain(says);
      expect(tested.sent).to.deep.equal([]);
    });
  }

  const refusal = { status: 0, errors: ['user identifier is invalid'], request: 'abc' };
  const replies: [string, StubReply, string, string][] = [
    [
      'a refusal',
      { status: 400, json: refusal },
      'bad-request',
      'Pushover refused the message: user identifier is invalid',
    ],
    [
      'a refusal with status 200',
      { json: refusal },
      'bad-request',
      'Pushover refused the message: user identifier is invalid',
    ],
    [
      'a used-up quota',
      { status: 429, json: refusal },
      'too-many',
      'Pushover: the application has used up its messages',
    ],
    ['a server error', { status: 502, text: '<html>' }, 'unavailable', 'Pushover answered 502'],
    ['broken JSON', { text: '{"status":' }, 'unavailable', 'is not JSON'],
  ];
  for (const [what, reply, code, says] of replies) {
    it(`turns ${what} into ${code}`, async () => {
      const error = await fault(service(reply).invoke({ user: 'sean', message: 'hi' }));
      expect(error.code).to.equal(code);
      expect(error.message).to.contain(says);
    });
  }

  it('lets a failure of the connection through as it is', async () => {
    const down = new Fault('unavailable', 'Outgoing pushover: refused the connection');
    expect(await fault(service(down).invoke({ user: 'sean', message: 'hi' }))).to.equal(down);
  });
});

describe('order.created', () => {
  it('notifies the user through pushover.send-message', async () => {
    const tested = testService(Created, {
      services: { 'pushover.send-message': () => ({ status: 1, request: 'abc' }) },
    });
    const reply = await tested.invoke({ order_id: 7, customer: 'Ann', user: 'sean' });
    expect(reply).to.deep.equal({ order_id: 7, notification: 'abc' });
    expect(tested.invoked[0]).to.deep.include({ service: 'pushover.send-message' });
    expect(tested.invoked[0]?.input).to.include({
      user: 'sean',
      subject: 'New order',
      message: 'Order 7 from Ann',
    });
  });

  it('goes all the way through the service it calls', async () => {
    const tested = testService(Created, {
      services: { 'pushover.send-message': SendMessage },
      outgoing: { pushover: accepted },
      kvdb: redis(),
    });
    expect(await tested.invoke({ order_id: 8, user: 'sean' })).to.deep.equal({
      order_id: 8,
      notification: 'abc',
    });
    expect(String(tested.sent[0]?.data)).to.contain('message=Order+8&title=New+order');
  });
});

import { expect } from 'chai';
import type { OutgoingConnection } from '../../../outgoing/http/connection.ts';
import { PushoverStandin } from '../../../outgoing/pushover/standin.ts';
import { Fault } from '../../../runtime/core/fault.ts';
import { rejection } from '../../support/rejection.ts';
import { connect, steppedClock } from '../fixture.ts';
import { pushoverSpec, token, user } from './fixture.ts';

describe('The connection to Pushover keeps the rules for clients', () => {
  const clock = steppedClock();
  const standin = new PushoverStandin({ now: clock.now });
  let url = '';
  let connection: OutgoingConnection;

  before(async () => {
    url = await standin.start();
  });
  after(() => standin.stop());
  beforeEach(() => {
    standin.clear();
    connection = connect(pushoverSpec, {
      name: 'pushover',
      clock,
      standinUrl: () => url,
    }).connection;
  });
  afterEach(async () => {
    await connection.close();
    expect(standin.log().violations).to.deep.equal([]);
  });

  const form = (message = 'hi') => new URLSearchParams({ token, user, message });
  const waitsOf = async (work: () => Promise<unknown>) => {
    const before = clock.waits.length;
    await work();
    return clock.waits.slice(before);
  };

  it('two sockets at most, however many calls there are', async () => {
    const calls = Array.from({ length: 30 }, (_, number) =>
      connection.send('cid-1', form(`message ${number}`)),
    );
    const replies = await Promise.all(calls);
    expect(replies.every(({ status }) => status === 200)).to.equal(true);
    expect(standin.log().sockets.most).to.equal(2);
  });

  for (const mode of ['500', 'html500', 'rst', 'half', 'badjson'] as const) {
    it(`no repeat sooner than 5 s after ${mode}`, async () => {
      standin.mode(mode, 1);
      const waits = await waitsOf(async () => {
        expect((await connection.send('cid-1', form())).json()).to.include({ status: 1 });
      });
      expect(waits).to.deep.equal([5_000]);
      expect(standin.log().requests).to.have.lengthOf(2);
    });
  }

  it('two tries at most, and the last reply is given', async () => {
    standin.mode('500');
    const reply = await connection.send('cid-1', form());
    expect(reply.status).to.equal(500);
    expect(standin.log().requests).to.have.lengthOf(2);
  });

  it('no repeat of a refusal', async () => {
    const reply = await connection.send('cid-1', form(' '));
    expect([reply.status, standin.log().requests.length]).to.deep.equal([400, 1]);
  });

  it('nothing more after 3 refusals in 60 s, for 5 min: Pushover does not have to block us', async () => {
    for (let call = 0; call < 3; call++) await connection.send('cid-1', form(' '));
    const error = await rejection(connection.send('cid-2', form()));
    expect(error.message).to.equal(
      'Outgoing pushover: paused after 3 refusals in 1 min, next try in 5 min',
    );
    expect(standin.log().requests).to.have.lengthOf(3);
    clock.advance(300_000);
    expect((await connection.send('cid-3', form())).status).to.equal(200);
  });

  it('nothing more after a 429, until the quota is there again', async () => {
    standin.mode('429', 1);
    const waits = await waitsOf(() => connection.send('cid-1', form()));
    const error = await rejection(connection.send('cid-2', form()));
    expect(waits).to.deep.equal([]);
    expect(Fault.is(error) && error.code).to.equal('too-many');
    expect(standin.log().requests).to.have.lengthOf(1);
    const { parkedUntil } = connection.state();
    expect(parkedUntil).to.equal('2026-02-01T06:00:00.000Z');
    clock.advance(Date.parse(String(parkedUntil)) - clock.now());
    expect((await connection.send('cid-3', form())).status).to.equal(200);
  });

  it("an end within the call's own time when nobody answers", async () => {
    const hurried = connect(
      { ...pushoverSpec, attemptTimeout: '100ms' },
      { name: 'pushover', clock, standinUrl: () => url },
    );
    standin.mode('hang');
    const error = await rejection(hurried.connection.send('cid-1', form()));
    expect(error.message).to.equal(
      `Outgoing pushover: ${url}/1/messages.json did not answer in 100 ms (2 tries)`,
    );
    await hurried.connection.close();
  });

  it('an end when the reply trickles', async () => {
    const hurried = connect(
      { ...pushoverSpec, attemptTimeout: '100ms', retry: 'off' },
      { standinUrl: () => url },
    );
    standin.mode('slow', 1);
    const error = await rejection(hurried.connection.send('cid-1', form()));
    expect(Fault.is(error) && error.code).to.equal('timeout');
    await hurried.connection.close();
  });

  it('a ping that costs no message', async () => {
    const result = await connection.ping('cid-1');
    expect([result.ok, result.status, result.url]).to.deep.equal([true, 200, `${url}/`]);
    expect(standin.messages()).to.deep.equal([]);
  });
});

import { expect } from 'chai';
import { Redis } from 'ioredis';
import { Fault } from '../../runtime/core/fault.ts';
import { Journey, type JourneyOptions, journeyKey } from '../../runtime/journey/journey.ts';
import { JourneyReader } from '../../runtime/journey/journey-reader.ts';
import type { Step } from '../../runtime/journey/step.ts';
import { startRedis, type TestRedis } from '../support/redis.ts';
import { rejection } from '../support/rejection.ts';
import { until } from '../support/until.ts';

describe('Journey', () => {
  let redis: TestRedis;
  let client: Redis;
  let reader: JourneyReader;
  const open: Journey[] = [];

  before(async () => {
    redis = await startRedis();
    client = new Redis({
      path: redis.path,
      maxRetriesPerRequest: 1,
      commandTimeout: 1_000,
      retryStrategy: () => 20,
    });
    client.on('error', () => undefined);
    reader = new JourneyReader({ redis: client });
  });
  beforeEach(() => client.flushall());
  afterEach(async () => {
    for (const journey of open.splice(0)) await journey.close();
  });
  after(async () => {
    client.disconnect();
    await redis.stop();
  });

  function journeyOf(options: Partial<JourneyOptions> = {}): Journey {
    const journey = new Journey({ redis: client, ...options });
    open.push(journey);
    return journey;
  }

  function publish(cid: string, msgId: string, at?: number): Step {
    const facts = { topic: 'orders.new', msgId, queues: 2 };
    return { cid, kind: 'publish', ok: true, facts, ...(at === undefined ? {} : { at }) };
  }

  it('is found by its cid and by each of its messages, in the order of time', async () => {
    const journey = journeyOf({ place: 'worker 1' });
    journey.note({ ...publish('c1', 'm2', 2_000), ms: 3.1234 });
    journey.note(publish('c1', 'm1', 1_000));
    journey.note(publish('other', 'm9', 1_500));
    await journey.flush();
    for (const id of ['c1', 'm1', 'm2']) {
      const found = await reader.find(id);
      expect(found?.cid).to.equal('c1');
      expect(found?.steps.map(({ facts }) => facts.msgId)).to.deep.equal(['m1', 'm2']);
    }
    expect((await reader.find('c1'))?.steps[1]).to.deep.equal({
      cid: 'c1',
      kind: 'publish',
      at: 2_000,
      ms: 3.1,
      ok: true,
      facts: { topic: 'orders.new', msgId: 'm2', queues: 2 },
      place: 'worker 1',
    });
    expect(await reader.find('nobody')).to.equal(undefined);
  });

  it('joins what several processes noted, also where one knew the message alone', async () => {
    const [one, other] = [journeyOf({ place: 'a' }), journeyOf({ place: 'b' })];
    one.note(publish('c1', 'm1', 1));
    await one.flush();
    other.note({ cid: '', kind: 'acked', at: 3, facts: { msgId: 'm1', subscription: 's' } });
    other.note({ cid: 'c1', kind: 'outgoing', at: 2, facts: { connection: 'crm', status: 200 } });
    await other.flush();
    const found = await reader.find('m1');
    expect(found?.cid).to.equal('c1');
    expect(found?.steps.map(({ kind, place }) => `${kind} ${place}`)).to.deep.equal([
      'publish a',
      'outgoing b',
      'acked b',
    ]);
  });

  it('follows a message into the journey that goes on under another cid', async () => {
    const journey = journeyOf();
    journey.note({ cid: 'request', kind: 'publish', at: 1, facts: { msgId: 'm1', topic: 't' } });
    journey.note({ cid: 'message', kind: 'delivered', at: 2, facts: { msgId: 'm1' } });
    journey.note({ cid: 'message', kind: 'outgoing', at: 3, facts: { connection: 'crm' } });
    await journey.flush();
    const found = await reader.find('request');
    expect(found?.cid).to.equal('request');
    expect(found?.steps.map(({ kind }) => kind)).to.deep.equal([
      'publish',
      'delivered',
      'outgoing',
    ]);
  });

  it('is stored without being asked, soon after it was noted', async () => {
    journeyOf().note(publish('c1', 'm1'));
    const found = await until(() => reader.find('c1'));
    expect(found.steps[0]?.at).to.be.closeTo(Date.now(), 5_000);
  });

  it('is still there for another process after a restart', async () => {
    const journey = new Journey({ redis: client });
    journey.note(publish('c1', 'm1'));
    await journey.close();
    journey.note(publish('c1', 'm2'));
    expect((await new JourneyReader({ redis: client }).find('c1'))?.steps).to.have.length(1);
  });

  it('keeps no fact that is not listed, cuts texts at 300 characters and takes secrets out', async () => {
    const journey = journeyOf({ redact: (text) => text.replaceAll('hunter2', '***') });
    const facts = {
      error: `password hunter2 ${'x'.repeat(400)}`,
      reason: 'r'.repeat(300),
      data: { card: '4111' },
      subscription: { nested: 'hunter2' },
    } as unknown as Step['facts'];
    journey.note({ cid: 'c1', kind: 'dead', facts });
    await journey.flush();
    const [step] = (await reader.find('c1'))?.steps ?? [];
    expect(Object.keys(step?.facts ?? {})).to.have.members(['error', 'reason']);
    expect(step?.facts.error)
      .to.match(/^password \*\*\* x+\.\.\.$/)
      .and.have.length(300);
    expect(step?.facts.reason).to.have.length(300);
  });

  it('names the subscriptions of a publication, ten at most', async () => {
    const names = Array.from({ length: 12 }, (_, at) => `s${at}`);
    const journey = journeyOf({
      subscriptionsOf: (topic) => (topic === 'orders.new' ? names : []),
    });
    journey.note(publish('c1', 'm1'));
    await journey.flush();
    const text = (await reader.find('c1'))?.steps[0]?.facts.subscriptions;
    expect(text).to.equal('s0, s1, s2, s3, s4, s5, s6, s7, s8, s9, and 2 more');
  });

  it('keeps about as many entries as it is told, the newest', async () => {
    const journey = journeyOf({ keep: 1_000, perSecond: 100_000 });
    for (let at = 0; at < 3_000; at++) journey.note(publish(`c${at}`, `m${at}`, at));
    await journey.flush();
    const kept = await reader.kept();
    expect(kept.entries).to.be.within(1_000, 1_200);
    expect(kept.since).to.be.closeTo(Date.now(), 60_000);
    expect(await reader.find('c10')).to.equal(undefined);
    expect((await reader.find('m2999'))?.cid).to.equal('c2999');
    expect((await reader.find('c2001'))?.steps).to.have.length(1);
  });

  it('drops what is too much: failures last, journeys that have begun before new ones', async () => {
    const journey = journeyOf({ perSecond: 20 });
    for (let at = 0; at < 15; at++) journey.note(publish(`c${at}`, `m${at}`, at));
    expect(journey.dropped, 'half of the room is for new ones').to.equal(5);
    expect([journey.follows('c9'), journey.follows('c10')]).to.deep.equal([true, false]);
    for (let at = 0; at < 15; at++) journey.note({ ...publish('c1', `n${at}`), kind: 'delivered' });
    expect(journey.dropped).to.equal(10);
    journey.note({ cid: 'late', kind: 'dead', facts: { reason: 'max-deliveries' } });
    expect(journey.dropped).to.equal(10);
    await journey.flush();
    expect(journey.dropped).to.equal(0);
    expect((await reader.find('late'))?.steps[0]?.facts.reason).to.equal('max-deliveries');
    const found = await reader.find('c1');
    expect(found?.steps).to.have.length(11);
    expect(found?.dropped).to.equal(10);
  });

  it('stores failures first when a flush has no room for all', async () => {
    const journey = journeyOf({ perSecond: 16 });
    for (let at = 0; at < 8; at++) journey.note(publish(`c${at}`, `m${at}`, at));
    for (let at = 0; at < 4; at++) journey.note({ ...publish(`f${at}`, `x${at}`, 9), ok: false });
    await until(async () => (await client.xlen(journeyKey())) > 0);
    const first = await client.xrange(journeyKey(), '-', '+', 'COUNT', 4);
    expect(first.map(([, fields]) => fields[1])).to.deep.equal(['f0', 'f1', 'f2', 'f3']);
    await until(async () => (await client.xlen(journeyKey())) === 12);
  });

  it('neither fails nor grows while Redis is away, and tells what was lost when it is back', async () => {
    const journey = journeyOf({ perSecond: 40 });
    await redis.kill();
    for (let at = 0; at < 100; at++) journey.note(publish(`c${at}`, `m${at}`));
    await journey.flush();
    expect(journey.dropped).to.equal(100);
    const fault = await rejection(reader.find('c1'));
    expect(Fault.is(fault) && fault.code).to.equal('unavailable');
    await redis.restart();
    await until(() => client.ping().catch(() => false));
    journey.note(publish('after', 'm1'));
    await until(async () => {
      await journey.flush();
      return journey.dropped === 0;
    });
    journey.note(publish('again', 'm2'));
    await journey.flush();
    expect((await until(() => reader.find('again'))).steps).to.have.length(1);
    const fields = (await client.xrange(journeyKey(), '-', '+')).map(([, one]) => one);
    expect(fields.find(([name]) => name === 'dropped')?.[1]).to.match(/^10\d$/);
  });

  it('reads what another version wrote as far as it can', async () => {
    await client.xadd(journeyKey(), '*', 'cid', 'c1', 'msgs', 'm1', 'steps', 'not json');
    await client.xadd(journeyKey(), '*', 'something', 'else');
    journeyOf().note(publish('c1', 'm2', 1));
    await open.at(-1)?.flush();
    expect((await reader.find('m1'))?.steps.map(({ facts }) => facts.msgId)).to.deep.equal(['m2']);
  });

  it('ends a search whose journey has no end', async () => {
    const journey = journeyOf({ perSecond: 100_000 });
    for (let at = 0; at < 1_500; at++) journey.note(publish('loop', `m${at}`, at));
    await journey.flush();
    const found = await reader.find('m7');
    expect(found?.steps).to.have.length(1_000);
    expect(found?.cut).to.equal(true);
  });
});

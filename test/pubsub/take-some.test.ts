import { expect } from 'chai';
import { jsonOf, openBroker, pull, type TestBroker } from '../support/broker.ts';
import { startRedis, type TestRedis } from '../support/redis.ts';
import { rejection } from '../support/rejection.ts';

const year = 365 * 86_400_000;

describe('Broker, when a taker chooses', () => {
  let server: TestRedis;
  let test: TestBroker;
  let broker: TestBroker['broker'];
  let refused: string[];

  before(async () => {
    server = await startRedis();
  });
  after(() => server.stop());

  beforeEach(async () => {
    refused = [];
    test = await openBroker(server.path, { mayReceive: (_, topic) => !refused.includes(topic) });
    broker = test.broker;
    await test.redis.flushall();
    await broker.subscribe(pull('one', '**'));
  });
  afterEach(() => test.close());

  const values = async (options: Parameters<typeof broker.take>[1]) =>
    (await broker.take('one', options)).map(({ message }) => jsonOf(message));
  const publishAll = async (topic: string, count: number, priority = 5) => {
    for (let n = 0; n < count; n++) await test.publish(topic, n, { priority });
  };

  it('gives messages of one topic, and of none whose name only begins like it', async () => {
    for (const topic of ['a', 'a.b', 'a"b', 'A', '/a', 'a']) await test.publish(topic, topic);
    expect(await values({ topic: 'a' })).to.deep.equal(['a', 'a']);
    expect(await values({ topic: 'a"b' })).to.deep.equal(['a"b']);
    expect(await values({ topic: 'nothing' })).to.deep.equal([]);
    expect(await values({})).to.deep.equal(['a.b', 'A', '/a']);
  });

  it('finds them behind and between thousands of others, up to the most asked for', async () => {
    await publishAll('other', 700, 9);
    await publishAll('mine', 3);
    await publishAll('other', 700);
    await publishAll('mine', 3, 1);
    expect(await values({ topic: 'mine', max: 4 })).to.deep.equal([0, 1, 2, 0]);
    expect(await values({ topic: 'mine', max: 4, newestFirst: true })).to.deep.equal([2, 1]);
    const [depth] = await broker.depth(['one']);
    expect(depth).to.include({ waiting: 1_400, leased: 6 });
  });

  it('counts the bytes of what it gives, over all it looks at', async () => {
    await publishAll('other', 600, 9);
    await test.publish('mine', 'x'.repeat(8), { priority: 9 });
    await publishAll('other', 600);
    await test.publish('mine', 'x'.repeat(8), { priority: 1 });
    expect(await values({ topic: 'mine', maxBytes: 19 })).to.have.length(1);
    expect(await values({ topic: 'mine', maxBytes: 10 })).to.have.length(1);
  });

  it('begins at the other end of the queue', async () => {
    await test.publish('a', 1, { priority: 9 });
    await test.publish('b', 2, { priority: 1 });
    await test.publish('a', 3, { priority: 9 });
    expect(await values({ newestFirst: true, max: 2 })).to.deep.equal([2, 3]);
  });

  it('refuses where as many as may be are in flight, when asked to', async () => {
    await publishAll('a', 3);
    expect(await values({ maxInflight: 2, refuseFull: true })).to.deep.equal([0, 1]);
    const full = await rejection(broker.take('one', { maxInflight: 2, refuseFull: true }));
    expect(full).to.include({ code: 'too-many', message: 'In-flight queue full (2/2)' });
    expect(await values({ maxInflight: 2 })).to.deep.equal([]);
    expect(await values({ maxInflight: 3, refuseFull: true })).to.deep.equal([2]);
  });

  it('keeps from it what the reader may no longer have', async () => {
    await test.publish('a', 1);
    refused.push('a');
    expect(await values({ topic: 'a' })).to.deep.equal([]);
    expect((await broker.depth(['one']))[0]).to.include({ dead: 1 });
  });

  it('leases without an end, until it says otherwise', async () => {
    await test.publish('a', 1);
    const [held] = await broker.take('one', { leaseMs: Number.POSITIVE_INFINITY });
    if (!held) throw new Error('Nothing was taken');
    expect(held.leasedUntil).to.be.above(Date.now() + 90 * year);
    await broker.tend();
    expect(await broker.extend('one', [held], 60_000)).to.deep.equal([true]);
    const at = async () => (await broker.browse('one', { state: 'leased' })).items[0]?.at ?? 0;
    expect(await at()).to.be.below(Date.now() + 60_001);
    expect(await broker.extend('one', [held], Number.POSITIVE_INFINITY)).to.deep.equal([true]);
    expect(await at()).to.be.above(Date.now() + 90 * year);
    expect(await broker.reject('one', [held])).to.deep.equal(['waiting']);
  });

  it('finds a lease by any id, and none by another’s', async () => {
    await broker.subscribe(pull('two', '**'));
    const { msgId } = await test.publish('a', 1, { givenId: 'mine' });
    expect(await broker.leases('one', [msgId, 'mine'])).to.deep.equal([undefined, undefined]);
    const [{ token } = { token: '' }] = await broker.take('one', { topic: 'a' });
    const lease = { message: { msgId }, token };
    expect(await broker.leases('one', ['mine', msgId, 'Mine', ''])).to.deep.equal([
      lease,
      lease,
      undefined,
      undefined,
    ]);
    // The same number of another second, and of another Redis.
    const others = [
      msgId.replace(/^zpsm\.\d/, 'zpsm.9'),
      msgId.replace(/-[0-9a-f]{4}(?=[0-9a-f]{12}f$)/, salted),
    ];
    expect(await broker.leases('one', others)).to.deep.equal([undefined, undefined]);
    expect(await broker.leases('two', [msgId, 'mine'])).to.deep.equal([undefined, undefined]);
    expect(await broker.leases('two', [])).to.deep.equal([]);
    await broker.ack('one', [lease]);
    expect(await broker.leases('one', [msgId, 'mine'])).to.deep.equal([undefined, undefined]);
    expect(await test.redis.keys('*:g')).to.deep.equal([]);
  });

  it('keeps the publisher’s own id, and says that data is text', async () => {
    const own = `!#$%&'()*+,-./:;<=>?@[]^_{|}~${'x'.repeat(171)}`;
    const more = { givenId: own, verbatim: true, cid: '"i":"his"' };
    await broker.publish({ topic: 'a', data: '"x"', ...more });
    const [delivery] = await broker.take('one', { topic: 'a' });
    expect(delivery?.message).to.include(more);
    expect(own).to.have.length(200);
    expect(await broker.leases('one', ['his'])).to.deep.equal([undefined]);
    for (const givenId of ['', `${own}x`, 'a"b', 'a\\b', 'a b', 'é']) {
      const fault = await rejection(broker.publish({ topic: 'a', data: '1', cid: 'c', givenId }));
      expect(fault, givenId).to.include({ code: 'bad-request' });
    }
  });
});

/** Another salt than that. */
function salted(part: string): string {
  return part === '-0000' ? '-0001' : '-0000';
}

import { expect } from 'chai';
import { jsonOf, openBroker, pull, type TestBroker } from '../support/broker.ts';
import { needShim, type ShimmedRedis, startShimmedRedis } from './shim.ts';

const hourMs = 3_600_000;

describe('The clock of Redis', () => {
  let server: ShimmedRedis | undefined;
  let test: TestBroker | undefined;

  before(async function () {
    await needShim(this);
  });

  afterEach(async () => {
    test?.close();
    await server?.stop();
  });

  const open = async () => {
    server = await startShimmedRedis(['--appendfsync', 'everysec']);
    test = await openBroker(server.path);
    await test.broker.subscribe(pull('one', 'a'));
    return { server, ...test };
  };

  it('jumping an hour ahead and back loses nothing: what was leased comes again, flagged [F33]', async () => {
    const { server: redis, broker, publish } = await open();
    for (let n = 0; n < 20; n++) await publish('a', n);
    const first = await broker.take('one', { max: 10 });
    await redis.setClock(hourMs);
    await broker.tend();
    expect((await broker.depth(['one']))[0]).to.include({ waiting: 20, leased: 0, dead: 0 });
    const again = await broker.take('one', { max: 10 });
    expect(again.map(({ message }) => jsonOf(message))).to.deep.equal([...Array(10).keys()]);
    expect(again.map(({ deliveries }) => deliveries)).to.deep.equal(Array(10).fill(2));
    expect(await broker.ack('one', first)).to.deep.equal(Array(10).fill(false));
    expect(await broker.ack('one', again)).to.deep.equal(Array(10).fill(true));

    await redis.setClock(0);
    const later = await publish('a', 20);
    const rest = await broker.take('one');
    expect(rest.map(({ message }) => jsonOf(message))).to.deep.equal([
      ...Array.from({ length: 10 }, (_, n) => 10 + n),
      20,
    ]);
    expect(rest.map(({ message }) => message.msgId)).to.include(later.msgId);
    expect(new Set([...again, ...rest].map(({ message }) => message.msgId)).size).to.equal(21);
  });

  it('is the one that counts: what is to expire by it does, when it jumps [F33, F34]', async () => {
    const { server: redis, broker, publish } = await open();
    await publish('a', 'brief', { expirationMs: hourMs / 2 });
    await publish('a', 'long', { expirationMs: hourMs * 2 });
    await broker.tend();
    expect((await broker.depth(['one']))[0]?.waiting).to.equal(2);
    await redis.setClock(hourMs);
    await broker.tend();
    const left = await broker.take('one');
    expect(left.map(({ message }) => jsonOf(message))).to.deep.equal(['long']);
  });
});

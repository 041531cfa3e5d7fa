import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'chai';
import { openBroker, pull, type TestBroker } from '../support/broker.ts';
import { until } from '../support/until.ts';
import { Crew } from './crew.ts';
import { needShim, type ShimmedRedis, startShimmedRedis } from './shim.ts';

const subKeys = ['one', 'two'];
/** `npm run soak` makes more of them. */
const cuts = Number(process.env['HENCE_SOAK_CUTS'] ?? 2);

describe('A power cut', () => {
  let server: ShimmedRedis | undefined;
  let test: TestBroker | undefined;
  let crew: Crew | undefined;

  before(async function () {
    await needShim(this);
  });

  afterEach(async () => {
    await crew?.dismiss();
    test?.close();
    await server?.stop();
  });

  /** Publishes under load for a while and cuts, a few times; then reads what is left. */
  async function cutUnderLoad(mode: 'always' | 'everysec' | 'no', loadMs: number, rounds = cuts) {
    server = await startShimmedRedis(['--appendfsync', 'always']);
    test = await openBroker(server.path);
    // On disk in every mode: what a cut takes is messages.
    for (const subKey of subKeys) await test.broker.subscribe(pull(subKey, 'ledger'));
    crew = await Crew.hire(server.path);
    let windowMs = 0;
    for (let n = 0; n < rounds; n++) {
      await test.redis.config('SET', 'appendfsync', mode);
      windowMs = Math.max(windowMs, await cutOnce(server, crew, loadMs));
      await until(() => test?.redis.ping().catch(() => false));
    }
    crew.subscriber({ subKeys, batch: 500 });
    const { broker } = test;
    await until(async () => {
      const depths = await broker.depth(subKeys).catch(() => []);
      return depths.length > 0 && depths.every((one) => one.waiting + one.leased === 0);
    }, 20_000);
    return { books: crew.audit(subKeys), windowMs };
  }

  it('loses nothing that was acknowledged, in the durable mode [F12]', async function () {
    this.timeout(cuts * 10_000);
    const { books } = await cutUnderLoad('always', 500);
    expect(books.acked).to.be.greaterThan(cuts * 300);
    expect(books.lost).to.deep.equal([]);
    expect(books.partial).to.deep.equal([]);
    expect(books.twice).to.deep.equal([]);
  });

  it('loses at most the last moments when Redis syncs every second [F13]', async function () {
    this.timeout(cuts * 10_000);
    const { books, windowMs } = await cutUnderLoad('everysec', 1_500, 1);
    expect(books.lost).to.not.deep.equal([]);
    expect(books.lost.length).to.be.below(books.acked * subKeys.length);
    // Redis lets a second more go by while its disk is slow (flushAppendOnlyFile).
    expect(windowMs).to.be.below(2_100);
    expect(books.partial).to.deep.equal([]);
  });

  it('loses all of it when Redis never syncs [F12, without appendfsync]', async function () {
    this.timeout(cuts * 10_000);
    const { books } = await cutUnderLoad('no', 300);
    expect(books.acked).to.be.greaterThan(cuts * 300);
    expect(books.lost).to.have.length(books.acked * subKeys.length);
  });
});

/** How long before the cut the oldest of what it took was acknowledged, in ms. */
async function cutOnce(server: ShimmedRedis, crew: Crew, loadMs: number): Promise<number> {
  const before = crew.publishings.length;
  crew.publisher({ count: 1_000_000, concurrency: 16 });
  await until(() => crew.publishings.length > before + 300);
  await sleep(loadMs);
  await server.cutPower();
  const cutAt = Date.now();
  await crew.publishers.at(-1)?.dismiss();
  await server.restart();
  const kept = await keptKeys(server);
  const lost = crew.publishings
    .slice(before)
    .filter(({ key, outcome }) => outcome === 'acked' && !kept.has(key));
  return lost.length === 0 ? 0 : cutAt - Math.min(...lost.map(({ at }) => at));
}

/** What the messages in Redis say. */
async function keptKeys(server: ShimmedRedis): Promise<ReadonlySet<string>> {
  const { redis, close } = await openBroker(server.path);
  const records = await redis.hvals('{hence}:ps:msgs');
  close();
  return new Set(records.map((record) => record.slice(record.lastIndexOf('}') + 2, -1)));
}

import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'chai';
import { openBroker, pull, type TestBroker } from '../support/broker.ts';
import { startRedis, type TestRedis } from '../support/redis.ts';
import { until } from '../support/until.ts';
import { Crew } from './crew.ts';

const subKeys = ['one', 'two', 'three'];
const batch = 50;
const consumers = 2;
/** `npm run soak` sets it: 1,000,000 for a night. */
const messages = Number(process.env['HENCE_SOAK_MESSAGES'] ?? 50_000);
const durable = ['--appendonly', 'yes', '--appendfsync', 'always'];

describe('Kills', () => {
  let server: TestRedis;
  let test: TestBroker;
  let crew: Crew;

  afterEach(async () => {
    await crew.dismiss();
    test.close();
    await server.stop();
  });

  const begin = async (names: readonly string[], args: readonly string[]) => {
    server = await startRedis({ args });
    test = await openBroker(server.path);
    for (const name of names) await test.broker.subscribe(pull(name, 'ledger'));
    crew = await Crew.hire(server.path);
  };

  const drained = async (names: readonly string[], timeoutMs = Math.max(60_000, messages * 2)) => {
    await until(async () => {
      await test.broker.tend().catch(() => undefined);
      const depths = await test.broker.depth(names).catch(() => undefined);
      return depths?.every((one) => one.waiting + one.leased + one.delayed === 0);
    }, timeoutMs);
  };

  it(`-9 of Redis and of a random process every 2 s lose none of ${messages} messages to 3 subscriptions [F03, F11]`, async function () {
    this.timeout(Math.max(90_000, messages * 4));
    await begin(subKeys, durable);
    for (let n = 0; n < 2; n++) crew.publisher({ count: messages / 2 });
    for (let n = 0; n < consumers; n++) crew.subscriber({ subKeys, batch });

    let restarts = 0;
    let kills = 0;
    const ending = new AbortController();
    const monkey = (async () => {
      while (!ending.signal.aborted) {
        await sleep(1_000, undefined, { signal: ending.signal });
        crew.members[Math.floor(Math.random() * crew.members.length)]?.kill();
        await sleep(1_000, undefined, { signal: ending.signal });
        await server.restart();
        kills += 1;
        restarts += 1;
      }
    })().catch(() => undefined);
    await crew.published();
    ending.abort();
    await monkey;
    await drained(subKeys);

    const books = crew.audit(subKeys);
    expect(restarts).to.be.greaterThan(1);
    expect(books.acked).to.equal(messages);
    expect(books.unknown).to.be.greaterThan(0);
    expect(books.lost).to.deep.equal([]);
    expect(books.partial).to.deep.equal([]);
    expect(books.twice).to.deep.equal([]);
    expect(books.unflagged).to.deep.equal([]);
    const inHand = batch * subKeys.length;
    expect(books.duplicates).to.be.at.most(kills * inHand + restarts * inHand * consumers);
    expect(await test.redis.hlen('{hence}:ps:msgs')).to.equal(0);
  });
});

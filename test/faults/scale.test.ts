import { expect } from 'chai';
import { delivering } from '../delivery/fixture.ts';
import { openBroker, pull, push, type TestBroker } from '../support/broker.ts';
import { startRedis, type TestRedis } from '../support/redis.ts';
import { until } from '../support/until.ts';

const backlog = Number(process.env['HENCE_SOAK_BACKLOG'] ?? 20_000);

describe('Scale', () => {
  let server: TestRedis;
  let test: TestBroker;

  beforeEach(async () => {
    server = await startRedis();
    test = await openBroker(server.path);
  });

  afterEach(async () => {
    test.close();
    await server.stop();
  });

  const slowestMs = async () => {
    const log = (await test.redis.slowlog('GET', 100)) as readonly (readonly unknown[])[];
    return Math.max(0, ...log.map(([, , us]) => Number(us) / 1_000));
  };

  /** As many as there may be, in portions that stay within their deadlines. */
  const publishAll = async (count: number, one: (n: number) => Promise<unknown>) => {
    for (let from = 0; from < count; from += 1_000) {
      const part = Math.min(1_000, count - from);
      await Promise.all(Array.from({ length: part }, (_, n) => one(from + n)));
    }
  };

  it('of 10,000 topics: the last is published to as fast as the first [F79]', async function () {
    this.timeout(30_000);
    await test.broker.subscribe(pull('one', '**'));
    const times: number[] = [];
    for (let round = 0; round < 10; round++) {
      const from = performance.now();
      await publishAll(1_000, (n) => test.publish(`topic.${round}.${n}`, n));
      times.push(performance.now() - from);
    }
    expect((await test.broker.depth(['one']))[0]?.waiting).to.equal(10_000);
    // The first pays for warming up.
    const [, second = 0] = times;
    expect(times.at(-1)).to.be.below(second * 3);
  });

  it('of 10,000 push subscriptions: few connections, and next to no work while nothing happens [F80]', async function () {
    this.timeout(30_000);
    const all = Array.from({ length: 10_000 }, (_, n) => push(`s${n}`, `topic.${n}`));
    const fields = all.flatMap((one) => [one.subKey, JSON.stringify(one)]);
    await test.redis.hset('{hence}:ps:subs', ...fields);
    await test.redis.set('{hence}:ps:subs:rev', 1);
    const done: unknown[] = [];
    const worker = await delivering(server.path, {
      services: { work: (value) => done.push(value) },
      tendMs: 1_000,
    });
    try {
      for (const { subKey } of all) worker.set(subKey, {});
      for (let n = 0; n < 50; n++) await worker.publish(`topic.${n * 200}`, n);
      await until(() => done.length === 50);
      const clients = String(await test.redis.client('LIST'))
        .trim()
        .split('\n').length;
      expect(clients).to.be.below(100);
      const before = process.cpuUsage();
      const from = performance.now();
      await new Promise((resolve) => setTimeout(resolve, 1_500));
      const { user, system } = process.cpuUsage(before);
      const busy = (user + system) / 1_000 / (performance.now() - from);
      expect(busy).to.be.below(0.05);
    } finally {
      await worker.stop();
    }
  });

  it(`of ${backlog} queued messages: at most 700 bytes each, quickly counted, read and drained [F82]`, async function () {
    this.timeout(30_000 + backlog);
    await test.broker.subscribe(pull('one', 'a'));
    const used = async () => Number(/used_memory:(\d+)/.exec(await test.redis.info('memory'))?.[1]);
    const data = 'x'.repeat(198);
    await test.publish('a', data);
    const empty = await used();
    await publishAll(backlog, () => test.publish('a', data));
    expect(((await used()) - empty) / backlog).to.be.below(700);

    await test.redis.config('SET', 'slowlog-log-slower-than', '5000');
    await test.redis.slowlog('RESET');
    expect((await test.broker.depth(['one']))[0]?.waiting).to.equal(backlog + 1);
    const page = await test.broker.browse('one', {
      state: 'waiting',
      from: backlog - 10,
      limit: 5,
    });
    expect(page.items).to.have.length(5);
    expect(await slowestMs()).to.be.below(50);
    let drained = 0;
    for (;;) {
      const taken = await test.broker.take('one', { max: 1_000 });
      if (taken.length === 0) break;
      drained += (await test.broker.ack('one', taken)).filter((held) => held).length;
    }
    expect(drained).to.equal(backlog + 1);
    expect(await test.redis.hlen('{hence}:ps:msgs')).to.equal(0);
  });

  it('of messages that all expire at once: neither who takes nor who tends keeps Redis for 20 ms [F81]', async function () {
    this.timeout(30_000);
    await test.broker.subscribe(pull('one', 'a'));
    await test.broker.subscribe(pull('two', 'a'));
    await publishAll(10_000, (n) => test.publish('a', n, { expirationMs: 2_000 }));
    const [oldest] = (await test.broker.browse('one', { state: 'waiting', from: 9_999 })).items;
    await test.publish('a', 'last');
    await until(() => Date.now() > (oldest?.message.expiresAt ?? 0) + 20);
    await test.redis.config('SET', 'slowlog-log-slower-than', '5000');
    await test.redis.slowlog('RESET');
    expect(await test.broker.take('one')).to.have.length(1);
    await test.broker.tend();
    expect((await test.broker.depth(['two']))[0]?.waiting).to.equal(1);
    expect(await slowestMs()).to.be.below(20);
    expect(await test.redis.hlen('{hence}:ps:msgs')).to.equal(1);
  });
});

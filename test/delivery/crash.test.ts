import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { openBroker, push, type TestBroker } from '../support/broker.ts';
import { startRedis, type TestRedis } from '../support/redis.ts';
import { until } from '../support/until.ts';

const program = fileURLToPath(new URL('./crashing-worker.js', import.meta.url));

describe('deliveries in processes that die', () => {
  let server: TestRedis;
  let test: TestBroker;
  let child: ChildProcess | undefined;
  let running = false;
  let crashes = 0;

  /** Like the control process: a worker that ends is replaced. */
  const supervise = async () => {
    running = true;
    while (running) {
      child = spawn(process.execPath, [program, server.path], { stdio: 'ignore' });
      await once(child, 'exit');
      if (running) crashes++;
    }
  };
  let supervision: Promise<void>;
  const done = async () => await test.redis.lrange('done', 0, -1);

  beforeEach(async () => {
    server = await startRedis();
    test = await openBroker(server.path);
    await test.broker.subscribe(push('a', 'a'));
    crashes = 0;
  });

  afterEach(async () => {
    running = false;
    child?.kill('SIGKILL');
    await supervision;
    test.close();
    await server.stop();
  });

  it('bury the message that kills them, and none of those taken with it: F05', async () => {
    const innocents = Array.from({ length: 60 }, (_, at) => at);
    const values = [...innocents.slice(0, 25), 'poison', ...innocents.slice(25)];
    for (const value of values) await test.publish('a', value);
    supervision = supervise();
    const dead = await until(async () => {
      const { items } = await test.broker.browse('a', { state: 'dead', limit: 10 });
      return items.length > 0 && items;
    }, 15_000);
    expect(dead.map(({ message, reason }) => [message.data.toString(), reason])).to.deep.equal([
      ['"poison"', 'crashed-worker'],
    ]);
    expect(crashes).to.be.within(2, 3);
    await until(async () => new Set((await done()).map((line) => line.split(':')[0])).size === 60);
    const [depth] = await test.broker.depth(['a']);
    expect(depth).to.include({ dead: 1 });
  }).timeout(25_000);

  it('are taken over, flagged as repeated, within 1.6 of the lock: F03, F04', async () => {
    await test.publish('a', 'hang');
    supervision = supervise();
    await until(async () => (await test.redis.llen('begun')) === 1);
    child?.kill('SIGKILL');
    const killedAt = Date.now();
    await until(async () => (await done()).length === 1);
    expect(await done()).to.deep.equal(['hang:2']);
    // The process that replaces it needs a moment to start.
    expect(Date.now() - killedAt).to.be.below(500 * 1.6 + 1_000);
  });
});

import { type ChildProcess, fork } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { parseInfo } from '../../../../runtime/redis/requirements.ts';
import { startRedis, type TestRedis } from '../../../support/redis.ts';
import { until } from '../../../support/until.ts';
import {
  Client,
  items,
  itemsOf,
  respond,
  resume,
  stopAll,
  subscribe,
  type Worker,
  worker,
} from './fixture.ts';

const atOnce = 50;

describe('Many subscribers over WebSockets', () => {
  let redis: TestRedis;
  let namespace: string;

  before(async () => {
    redis = await startRedis();
  });

  beforeEach(() => {
    namespace = `w${randomBytes(6).toString('hex')}`;
  });

  afterEach(stopAll);

  after(() => redis.stop());

  it('2,000 on one worker get one message each, and cost little while nothing comes', async function () {
    this.timeout(60_000);
    const count = 2_000;
    const one = await worker(redis, namespace);
    const subscribers = await many(count, async () => {
      const client = await Client.loggedIn(one);
      return { client, subKey: await subscribe(client) };
    });
    const { redis: commands } = one.parties.broker;
    await until(async () => (await commands.hlen(`{${namespace}}:ps:waiters`)) === count);

    const before = await scriptsRun(one);
    const begun = Date.now();
    await until(() => Date.now() - begun > 1_000);
    // Ten a second are of the clock that ends leases.
    expect((await scriptsRun(one)) - before).to.be.below(100);

    const heapBefore = process.memoryUsage().heapUsed;
    await one.publish({ n: 1 });
    const got = await Promise.all(subscribers.map(({ client }) => items(client, 1)));
    expect(got.every(([item], at) => item?.sub_key === subscribers[at]?.subKey)).to.equal(true);
    expect(one.sessions.every(({ bufferedAmount }) => bufferedAmount === 0)).to.equal(true);
    expect(process.memoryUsage().heapUsed - heapBefore).to.be.below(200 * 1_048_576);
    await until(async () => (await commands.hlen(`{${namespace}}:ps:msgs`)) === 0);
    expect(subscribers.every(({ client }) => client.frames.length === 0)).to.equal(true);
  });

  it('F54: kill -9 of the worker that holds 500: all resume on another, and nothing is lost', async function () {
    this.timeout(60_000);
    const count = 500;
    const messages = 30;
    const other = await worker(redis, namespace);
    const child = fork(
      fileURLToPath(new URL('./server-process.js', import.meta.url)),
      [redis.path, namespace],
      { execArgv: [] },
    );
    try {
      const [port] = (await once(child, 'message')) as [number];
      const readers = await many(count, async (at) => {
        const client = await Client.loggedIn({ ...other, port });
        const ack = at % 2 === 0 ? { ack: 'client' } : {};
        const subKey = await subscribe(client, { unsub_on_wsx_close: false, ...ack });
        return new Reader(client, subKey);
      });
      const publishing = (async () => {
        for (let n = 0; n < messages; n++) await other.publish(n);
      })();
      await until(() => readers.some(({ seen }) => seen.size > messages / 3));
      await kill(child);
      await many(count, async (at) => {
        const reader = readers[at] as Reader;
        await reader.client.closed;
        await reader.goOn(await Client.loggedIn(other));
      });
      await publishing;
      await until(() => readers.every(({ seen }) => seen.size === messages), 30_000);
      expect(readers.every(({ unflagged }) => unflagged === 0)).to.equal(true);
      await until(async () => (await leftOf(other, readers)) === 0);
    } finally {
      await kill(child);
    }
  });
});

/** One client over its connections: answers each message, and counts those that came again without saying so. */
class Reader {
  readonly subKey: string;
  readonly seen = new Set<unknown>();
  client: Client;
  unflagged = 0;

  constructor(client: Client, subKey: string) {
    this.subKey = subKey;
    this.client = client;
    this.#listen();
  }

  async goOn(client: Client): Promise<void> {
    this.client = client;
    expect((await resume(client, this.subKey)).meta.status).to.equal(200);
    // What came before the answer.
    for (const frame of client.frames.splice(0)) this.#take(itemsOf(frame));
    this.#listen();
  }

  #listen(): void {
    const { client } = this;
    client.socket.on('message', () => {
      for (const frame of client.frames.splice(0)) {
        if (frame.meta.msg_type === 'zwsx.psrq') this.#take(itemsOf(frame));
      }
    });
  }

  #take(got: ReturnType<typeof itemsOf>): void {
    for (const { data, msg_id: id, delivery_count: times } of got) {
      if (this.seen.has(data) && times < 2) this.unflagged++;
      this.seen.add(data);
      if (this.client.socket.readyState === this.client.socket.OPEN) respond(this.client, id);
    }
  }
}

async function kill(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, 'exit');
  child.kill('SIGKILL');
  await gone;
}

async function many<T>(count: number, one: (at: number) => Promise<T>): Promise<T[]> {
  const results: T[] = [];
  let next = 0;
  const place = async () => {
    while (next < count) {
      const at = next++;
      results[at] = await one(at);
    }
  };
  await Promise.all(Array.from({ length: atOnce }, place));
  return results;
}

async function scriptsRun({ parties }: Worker): Promise<number> {
  const stats = parseInfo(await parties.broker.redis.info('commandstats'));
  return Number(/calls=(\d+)/.exec(stats.get('cmdstat_evalsha') ?? '')?.[1] ?? 0);
}

async function leftOf({ parties }: Worker, readers: readonly Reader[]): Promise<number> {
  const depths = await parties.broker.broker.depth(readers.map(({ subKey }) => subKey));
  return depths.reduce((sum, { waiting, leased }) => sum + waiting + leased, 0);
}

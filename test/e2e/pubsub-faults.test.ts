import { join } from 'node:path';
import { expect } from 'chai';
import { Redis } from 'ioredis';
import type { DefinitionView, Page } from '../../runtime/admin/api.ts';
import type { QueuedView, QueueView } from '../../runtime/admin/message-api.ts';
import { type GotMessages, PubSubClient } from '../support/pubsub-client.ts';
import { orphansIn } from '../support/queue-keys.ts';
import { type System, startSystem } from '../support/system.ts';
import { until } from '../support/until.ts';

const services = {
  'jobs.ts': `import { Service } from 'hence';
export class Feed extends Service {
  async handle() {
    const { topic, count, ms } = this.request.input as { topic: string; count: number; ms: number };
    const all = Array.from({ length: count }, (_, n) => this.publish(topic, { n, ms }));
    return { queues: (await Promise.all(all)).map(({ queues }) => queues) };
  }
}
export class Take extends Service {
  async handle() {
    const { n, ms } = this.request.input as { n: unknown; ms: number };
    const { topic, deliveryCount, redelivered } = this.request.message ?? {};
    const list = (name: string) => name + ' ' + topic;
    const begun = { n, pid: process.pid, deliveryCount, redelivered };
    await this.kvdb.conn.rpush(list('begun'), JSON.stringify(begun));
    // What comes again is not held up again.
    await new Promise((done) => setTimeout(done, redelivered ? 0 : ms));
    await this.kvdb.conn.rpush(list('done'), JSON.stringify(n));
  }
}
export class Count extends Service { handle() { return 1; } }
`,
};

const yaml = `security:
${['publisher', 'reader', 'keeper', 'doomed', 'desk', 'renamed'].map((name) => `  ${name}: { type: basic, username: ${name}, password: password }`).join('\n')}
topics:
  jobs.held: {}
  jobs.many: {}
  jobs.before: {}
  traffic.a: {}
  traffic.b: {}
  traffic.c: {}
permissions:
  publisher: { security: publisher, publish: ["traffic.*", "jobs.*"] }
  reader: { security: reader, subscribe: [traffic.a, traffic.b] }
  keeper: { security: keeper, subscribe: ["jobs.*"] }
  doomed: { security: doomed, subscribe: ["traffic.*"] }
  desk: { security: desk, subscribe: ["traffic.*"] }
  renamed: { security: renamed, subscribe: [jobs.before] }
subscriptions:
  renamed: { topics: [jobs.before], security: renamed }
  take: { topics: ["jobs.*"], service: jobs.take }
  kept: { topics: [jobs.many], security: keeper }
  reader: { topics: [traffic.a, traffic.b], security: reader }
  counted: { topics: ["traffic.*"], service: jobs.count }
  doomed-push: { topics: ["traffic.*"], service: jobs.count }
  doomed-pull: { topics: ["traffic.*"], security: doomed }
  old: { topics: [traffic.a], security: desk }
`;

interface Begun {
  readonly n: unknown;
  readonly pid: number;
  readonly deliveryCount: number;
  readonly redelivered: boolean;
}

describe('Messages of a running system', () => {
  let system: System;
  let redis: Redis;
  /** The traffic. */
  let going = false;

  const connect = () => new Redis({ path: join(system.dir, '.hence', 'redis', 'redis.sock') });
  const client = (name: string) => new PubSubClient(() => system.url, name, 'password');
  const list = async <T>(name: string) =>
    (await redis.lrange(name, 0, -1)).map((text) => JSON.parse(text) as T);
  const get = async <T>(path: string) => (await system.admin('GET', path)).json<T>();
  const queue = (name: string) => get<QueueView>(`/api/queues/${name}`);
  const publisher = client('publisher');

  before(async () => {
    system = await startSystem({ services, yaml, args: ['--workers', '2'] });
    redis = connect();
  });
  after(async () => {
    redis?.disconnect();
    await system?.stop();
  });

  afterEach(() => {
    going = false;
  });

  it('are delivered again within 8 s, and said to be, when their worker is killed: none is lost', async () => {
    await publisher.publish('jobs.held', { n: 'held', ms: 60_000 });
    const held = () =>
      list<Begun>('begun jobs.held').then((all) => all.filter(({ n }) => n === 'held'));
    const { pid } = await until(async () => (await held())[0]);
    const numbers = Array.from({ length: 20 }, (_, n) => n);
    await Promise.all(numbers.map((n) => publisher.publish('jobs.held', { n, ms: 100 })));
    process.kill(pid, 'SIGKILL');
    const at = performance.now();
    await until(async () => (await list('done jobs.held')).includes('held'));
    expect(performance.now() - at).to.be.below(8_000);

    const [first, second, ...none] = await held();
    expect(none).to.deep.equal([]);
    expect(first).to.include({ deliveryCount: 1, redelivered: false });
    expect(second).to.include({ deliveryCount: 2, redelivered: true });
    expect(second?.pid).not.to.equal(pid);

    await until(async () => new Set(await list('done jobs.held')).size === 21);
    await until(async () => {
      const { waiting, leased, delayed } = await queue('take');
      return waiting + leased + delayed === 0;
    });
    expect((await queue('take')).dead).to.equal(0);
    const seen = new Set<unknown>();
    for (const { n, redelivered } of await list<Begun>('begun jobs.held')) {
      expect(seen.has(n) && !redelivered, `${String(n)} came again and did not say so`).to.equal(
        false,
      );
      seen.add(n);
    }
  });

  it('leave nothing behind while what they are for is deleted, renamed and revoked under traffic', async () => {
    const statuses: Record<string, number[]> = {};
    const got: { readonly topic: string; readonly at: number }[] = [];
    going = true;
    const publishing = ['traffic.a', 'traffic.b', 'traffic.c', 'traffic.z'].map(async (topic) => {
      const seen: number[] = [];
      statuses[topic] = seen;
      while (going) seen.push((await publisher.publish(topic, { n: seen.length })).status);
    });
    const note = ({ messages }: GotMessages) => {
      const at = performance.now();
      got.push(...messages.map(({ meta }) => ({ topic: String(meta['topic_name']), at })));
    };
    const reading = async (
      name: string,
      more: Record<string, unknown>,
      take: (body: GotMessages) => void,
    ) => {
      while (going) {
        const { status, body } = await client(name).get(more);
        if (status !== 200) return status;
        take(body);
      }
      return 200;
    };
    const readers = [
      reading('reader', { max_messages: 20, wait: 1 }, note),
      reading('doomed', { max_messages: 5, wait: 1, ack: 'manual', lease: 30 }, () => {}),
    ];
    const topics = () => new Set(got.map(({ topic }) => topic));
    const hence = async (...words: readonly string[]) => {
      const { code, stderr } = await system.cli(...words);
      expect(code, `${words.join(' ')}: ${stderr}`).to.equal(0);
    };
    const remove = async (subscription: string) => {
      const path = `/api/definitions/subscription/${subscription}`;
      expect((await system.admin('DELETE', path)).status).to.equal(204);
    };
    const last = (topic: string) => statuses[topic]?.at(-1);
    const subKeyOf = async (name: string) =>
      (await get<DefinitionView>(`/api/definitions/subscription/${name}`))['subKey'] as string;

    await until(() => topics().has('traffic.a') && topics().has('traffic.b'));
    await until(() => last('traffic.z') === 403);

    const gone = await Promise.all([subKeyOf('doomed-push'), subKeyOf('doomed-pull')]);
    await until(async () => (await queue('doomed-pull')).leased > 0);
    for (const name of ['doomed-push', 'doomed-pull']) {
      await remove(name);
    }
    await until(async () => {
      const left = await Promise.all(gone.map((subKey) => redis.keys(`{hence}:q:${subKey}:*`)));
      return left.flat().length === 0;
    });
    expect(await readers[1]).to.equal(401);

    const before = await queue('old');
    await hence('subscription', 'rename', 'old', 'new');
    const after = await queue('new');
    expect(after.subKey).to.equal(before.subKey);
    expect(after.waiting).to.be.at.least(before.waiting);

    await hence('topic', 'rename', 'traffic.a', 'traffic.z');
    await until(() => topics().has('traffic.z'));
    await until(() => last('traffic.a') === 403 && last('traffic.z') === 200);

    await hence('topic', 'delete', 'traffic.b', '--yes');
    await until(() => last('traffic.b') === 403);
    // What was queued before is the reader's all the same.
    expect((await queue('reader')).dead).to.equal(0);

    await hence('permission', 'edit', 'reader', '--subscribe', 'traffic.b');
    const revoked = performance.now();
    await until(async () => (await queue('reader')).dead > 0);
    await until(() => performance.now() - revoked > 1_500);
    const late = got.filter(({ topic, at }) => topic === 'traffic.z' && at - revoked > 1_000);
    expect(late).to.deep.equal([]);
    const { items } = await get<Page<QueuedView>>(
      '/api/queues/reader/messages?state=dead&limit=1000',
    );
    expect(new Set(items.map(({ topic, reason }) => `${topic} ${reason}`))).to.deep.equal(
      new Set(['traffic.z not-permitted']),
    );

    going = false;
    await Promise.all([...publishing, ...readers]);
    const owners = async () => {
      const of = async (type: string) =>
        (await get<Page<DefinitionView>>(`/api/definitions/${type}`)).items;
      const subKeys = (await of('subscription')).map((one) => String(one['subKey']));
      return { subKeys, topics: (await of('topic')).map(({ name }) => name) };
    };
    await until(async () => (await orphansIn(redis, await owners())).length === 0).catch(
      async () => {
        expect(await orphansIn(redis, await owners())).to.deep.equal([]);
      },
    );
    for (const name of ['reader', 'counted', 'new']) {
      await remove(name);
    }
    await until(async () => (await redis.hlen('{hence}:ps:msgs')) === 0);
    expect(await redis.hlen('{hence}:ps:refs')).to.equal(0);
    expect(await orphansIn(redis, await owners())).to.deep.equal([]);
  });

  it('are still their reader’s, under their topic’s old name, when it is renamed', async () => {
    const reader = client('renamed');
    await publisher.publish('jobs.before', { n: 1 });
    const renamed = await system.cli('topic', 'rename', 'jobs.before', 'jobs.after');
    expect(renamed.code, renamed.stderr).to.equal(0);
    await until(async () => (await publisher.publish('jobs.after', { n: 2 })).status === 200);
    const got = await until(async () => {
      const { messages } = (await reader.get({ wait: 1 })).body;
      return messages.length > 0 ? messages : undefined;
    });
    expect(got.map(({ meta }) => meta['topic_name'])).to.deep.equal(['jobs.before', 'jobs.after']);
    expect((await queue('renamed')).dead).to.equal(0);
  });

  it('are each delivered once over a stop and a start, and wait for their readers', async () => {
    const count = 300;
    const input = JSON.stringify({ topic: 'jobs.many', count, ms: 30 });
    const fed = await system.cli('invoke', 'jobs.feed', '-d', input, '-o', 'json');
    expect(fed.code, fed.stderr).to.equal(0);
    await until(async () => (await redis.llen('done jobs.many')) > 20);
    expect(await system.end()).to.equal(0);
    redis.disconnect();
    system = await startSystem({ dir: system.dir, args: ['--workers', '2'] });
    redis = connect();
    expect(await redis.llen('begun jobs.many')).to.be.greaterThan(20);
    await until(async () => (await redis.llen('done jobs.many')) >= count);
    const numbers = Array.from({ length: count }, (_, n) => n);
    const begun = (await list<Begun>('begun jobs.many')).map(({ n }) => Number(n));
    expect(begun.sort((a, b) => a - b)).to.deep.equal(numbers);

    const { messages } = (await client('keeper').get({ max_messages: 1_000 })).body;
    expect(messages.map(({ data }) => (data as { n: number }).n)).to.deep.equal(numbers);
    expect((await client('keeper').get()).body.message_count).to.equal(0);
  });
});

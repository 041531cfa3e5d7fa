import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { AdminServer } from '../../channels/admin/admin-server.ts';
import { Admin, type AdminPorts } from '../../runtime/admin/admin.ts';
import { JourneyDesk } from '../../runtime/admin/journey-desk.ts';
import { MessageDesk } from '../../runtime/admin/message-desk.ts';
import type { TopicRules } from '../../runtime/admin/ports.ts';
import { QueueDesk } from '../../runtime/admin/queue-desk.ts';
import { Redrive } from '../../runtime/delivery/redrive.ts';
import { Journey, journeyKey } from '../../runtime/journey/journey.ts';
import { JourneyReader } from '../../runtime/journey/journey-reader.ts';
import type { Broker } from '../../runtime/pubsub/broker.ts';
import { RouteFeed } from '../../runtime/pubsub/route-feed.ts';
import {
  type SubscriptionSpec,
  subscriptionType,
} from '../../runtime/pubsub/subscription-definition.ts';
import { memoryLog } from '../config/fixture.ts';
import { openBroker, type TestBroker } from '../support/broker.ts';
import { startRedis, type TestRedis } from '../support/redis.ts';

export interface Reply {
  readonly status: number;
  readonly text: string;
  /** The body as JSON. */
  readonly json: <T = { readonly [key: string]: unknown }>() => T;
}

/** The admin API over a real broker, with the subscriptions that a test defines. */
export class MessageBench {
  readonly log = memoryLog();
  readonly topics = new Map<string, TopicRules>();
  readonly feed = new RouteFeed({ revision: () => 0, refresh: async () => {} });
  readonly journey: Journey;
  readonly redis: TestRedis;
  readonly broker: Broker;
  readonly client: Redis;
  readonly #test: TestBroker;
  readonly #server: AdminServer;
  readonly #dir: string;
  url = '';
  token = '';

  static async open(): Promise<MessageBench> {
    const redis = await startRedis();
    const dir = await mkdtemp(join(tmpdir(), 'hence-test-messages-'));
    const feed = new RouteFeed({ revision: () => 0, refresh: async () => {} });
    const test = await openBroker(redis.path, { source: feed });
    const bench = new MessageBench({ redis, dir, feed, test });
    bench.url = await bench.#server.start({ port: 0 });
    bench.token = JSON.parse(await readFile(join(dir, 'admin.json'), 'utf8')).token;
    return bench;
  }

  private constructor(parts: {
    readonly redis: TestRedis;
    readonly dir: string;
    readonly feed: RouteFeed;
    readonly test: TestBroker;
  }) {
    const { redis, dir, feed, test } = parts;
    this.redis = redis;
    this.feed = feed;
    this.#dir = dir;
    this.#test = test;
    this.broker = test.broker;
    this.client = new Redis(redis.path);
    this.journey = new Journey({ redis: this.client, place: 'test' });
    const shared = { broker: test.broker, source: feed };
    const ports: Pick<AdminPorts, 'messages' | 'queues' | 'journeys'> = {
      messages: new MessageDesk({ ...shared, topic: (name) => this.topics.get(name) }),
      queues: new QueueDesk({ ...shared, redrive: new Redrive(test.broker), log: this.log }),
      journeys: new JourneyDesk({ ...shared, reader: new JourneyReader({ redis: this.client }) }),
    };
    // The other parts of the system are not asked here.
    const admin = new Admin({ ...({} as AdminPorts), ...ports });
    this.#server = new AdminServer({ admin, dataDir: dir, log: this.log });
  }

  /** From now on exactly these subscriptions are there; their subKeys are `sk-<name>`. */
  subscribe(specs: Readonly<Record<string, Partial<SubscriptionSpec>>>): void {
    const { schema } = subscriptionType();
    this.feed.load(
      Object.entries(specs).map(([name, spec]) => ({
        name,
        spec: schema.parse({ security: 'someone', subKey: `sk-${name}`, ...spec }),
      })),
    );
  }

  publish(topic: string, value: unknown, more: Parameters<TestBroker['publish']>[2] = {}) {
    return this.#test.publish(topic, value, more);
  }

  /** Makes everything of a queue a dead letter. */
  async kill(subKey: string, reason: string): Promise<void> {
    const taken = await this.broker.take(subKey, { max: 1_000 });
    const dead = 'rejected';
    await this.broker.reject(
      subKey,
      taken.map((one) => ({ ...one, dead, reason })),
    );
  }

  /** Without subscriptions, queues, topics and journeys. */
  async clear(): Promise<void> {
    for (const { subKey } of this.broker.subscriptions()) await this.broker.unsubscribe(subKey);
    const gone = this.feed.routes.list();
    this.subscribe({});
    for (const { subKey } of gone) await this.broker.drop(subKey);
    this.topics.clear();
    await this.client.del(journeyKey());
  }

  /** Somebody waits for a message. */
  async waits(): Promise<boolean> {
    return (await this.client.hlen('{hence}:ps:waiters')) > 0;
  }

  ask(method: string, path: string, body?: unknown): Promise<Reply> {
    const text = typeof body === 'string' ? body : JSON.stringify(body);
    return new Promise((resolve, reject) => {
      const outgoing = request(
        `${this.url}${path}`,
        { method, headers: { authorization: `Bearer ${this.token}` }, agent: false },
        (reply) => {
          const chunks: Buffer[] = [];
          reply.on('data', (chunk: Buffer) => chunks.push(chunk));
          reply.on('error', reject);
          reply.on('end', () => {
            const answer = Buffer.concat(chunks).toString();
            const status = reply.statusCode ?? 0;
            resolve({ status, text: answer, json: () => JSON.parse(answer) });
          });
        },
      );
      outgoing.on('error', reject);
      outgoing.end(text);
    });
  }

  async close(): Promise<void> {
    await this.journey.close();
    await this.#server.stop();
    this.#test.close();
    this.client.disconnect();
    await this.redis.stop();
    await rm(this.#dir, { recursive: true, force: true });
  }
}

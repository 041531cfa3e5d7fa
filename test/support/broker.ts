import type { Redis } from 'ioredis';
import { Broker, type BrokerOptions } from '../../runtime/pubsub/broker.ts';
import type { Publication } from '../../runtime/pubsub/message.ts';
import { RouteTable } from '../../runtime/pubsub/route-table.ts';
import type { RouteSource, Subscription } from '../../runtime/pubsub/routes.ts';
import { connectRedis } from '../../runtime/redis/connection.ts';
import { collectingLog } from './collecting-log.ts';

/** A source of routes without definitions: programs alone subscribe. */
export class MadeRoutes implements RouteSource {
  routes: RouteTable;

  /** Of the definitions there might be. */
  constructor(revision = 0) {
    this.routes = RouteTable.of([], revision);
  }

  async refresh(): Promise<void> {}

  learn(subscriptions: readonly Subscription[]): void {
    this.routes = this.routes.withMade(subscriptions);
  }
}

export interface TestBroker {
  readonly broker: Broker;
  readonly redis: Redis;
  /** SubKeys it was told to wake. */
  readonly woken: string[];
  /** Publishes JSON. */
  publish(
    topic: string,
    value: unknown,
    more?: Partial<Publication>,
  ): ReturnType<Broker['publish']>;
  close(): void;
}

/** A broker on the Redis of this socket, with connections of its own. */
export async function openBroker(
  path: string,
  options: Partial<BrokerOptions> = {},
): Promise<TestBroker> {
  const redis = connectRedis({ path }, 'command', () => {});
  const woken: string[] = [];
  const broker = new Broker({
    redis,
    subscriber: () => connectRedis({ path }, 'subscriber', () => {}),
    source: new MadeRoutes(),
    log: collectingLog(),
    onWake: (subKeys) => woken.push(...subKeys),
    ...options,
  });
  await broker.start();
  return {
    broker,
    redis,
    woken,
    publish: (topic, value, more = {}) =>
      broker.publish({ topic, data: JSON.stringify(value), cid: 'cid-1', ...more }),
    close() {
      broker.close();
      redis.disconnect();
    },
  };
}

export function pull(subKey: string, ...topics: string[]): Subscription {
  return { subKey, topics, push: false, facts: {} };
}

export function push(subKey: string, ...topics: string[]): Subscription {
  return { subKey, topics, push: true, facts: {} };
}

/** What the data of a message is, as JSON. */
export function jsonOf(message: { readonly data: Buffer }): unknown {
  return JSON.parse(message.data.toString());
}

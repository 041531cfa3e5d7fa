import type { Redis } from 'ioredis';
import { DeliveryQueues } from '../../runtime/delivery/delivery-queues.ts';
import {
  DeliveryRunner,
  type DeliveryRunnerOptions,
} from '../../runtime/delivery/delivery-runner.ts';
import type { DeliveryNote } from '../../runtime/delivery/ports.ts';
import type { ServiceLimits } from '../../runtime/delivery/service-target.ts';
import type { DeliverySubscription } from '../../runtime/delivery/subscription.ts';
import type { BrokerOptions } from '../../runtime/pubsub/broker.ts';
import type { Delivery } from '../../runtime/pubsub/message.ts';
import { connectRedis, type RedisRole } from '../../runtime/redis/connection.ts';
import { openBroker, push, type TestBroker } from '../support/broker.ts';
import { type CollectingLog, collectingLog } from '../support/collecting-log.ts';

export type Handle = (value: unknown, delivery: Delivery, limits: ServiceLimits) => unknown;

export interface Delivering extends TestBroker {
  readonly queues: DeliveryQueues;
  readonly runner: DeliveryRunner;
  readonly log: CollectingLog;
  readonly notes: DeliveryNote[];
  readonly paused: string[];
  readonly connections: readonly Redis[];
  /** Makes or changes a subscription of the topic with its own name. */
  subscribe(subKey: string, more?: Partial<DeliverySubscription>): Promise<void>;
  set(subKey: string, more: Partial<DeliverySubscription>): void;
  dead(subKey: string): Promise<readonly { value: unknown; reason?: string; lastError?: string }[]>;
  /** Nothing waits, is leased or is delayed. */
  drained(subKey: string): Promise<boolean>;
  stop(graceMs?: number): Promise<void>;
}

export interface DeliveringOptions {
  /** What each service does; `calls` when not given. */
  readonly services?: Readonly<Record<string, Handle>>;
  readonly runner?: Partial<DeliveryRunnerOptions>;
  readonly broker?: Partial<BrokerOptions>;
  readonly tendMs?: number;
}

/** All that a worker process has for deliveries, in this one: a broker, queues and a runner of its own. */
export async function delivering(
  path: string,
  options: DeliveringOptions = {},
): Promise<Delivering> {
  const connections: Redis[] = [];
  const connect = (role: RedisRole) => {
    const redis = connectRedis({ path }, role, () => {});
    connections.push(redis);
    return redis;
  };
  const log = collectingLog();
  const commands = connect('command');
  const queues = new DeliveryQueues({ redis: commands, log });
  const test = await openBroker(path, {
    onWake: (subKeys) => queues.wake(subKeys),
    subscriber: () => connect('subscriber'),
    ...options.broker,
  });
  const views = new Map<string, DeliverySubscription>();
  const notes: DeliveryNote[] = [];
  const paused: string[] = [];
  const services = options.services ?? {};
  const set = (subKey: string, more: Partial<DeliverySubscription>) => {
    views.set(subKey, { ...(views.get(subKey) ?? viewOf(subKey)), ...more });
  };
  const runner = new DeliveryRunner({
    redis: connect('worker'),
    commands,
    broker: test.broker,
    queues,
    log,
    subscriptions: { get: (subKey) => views.get(subKey) },
    services: {
      has: (service) => service in services,
      invoke: async (service, delivery, limits) =>
        await services[service]?.(JSON.parse(delivery.message.data.toString()), delivery, limits),
    },
    outgoing: (name) => {
      throw new Error(`No such outgoing connection: ${name}`);
    },
    pauseSubscription: async (subKey, reason) => {
      paused.push(`${subKey}: ${reason}`);
      set(subKey, { paused: true });
    },
    note: (note) => notes.push(note),
    ...options.runner,
  });
  runner.start();
  const tending = setInterval(() => {
    test.broker.tend().catch(() => {});
  }, options.tendMs ?? 20);
  return {
    ...test,
    queues,
    runner,
    log,
    notes,
    paused,
    connections,
    set,
    async subscribe(subKey, more = {}) {
      set(subKey, more);
      await test.broker.subscribe(push(subKey, subKey));
    },
    async dead(subKey) {
      const { items } = await test.broker.browse(subKey, { state: 'dead', limit: 100 });
      return items.map(({ message, reason, lastError }) => ({
        value: JSON.parse(message.data.toString()),
        ...(reason === undefined ? {} : { reason }),
        ...(lastError === undefined ? {} : { lastError }),
      }));
    },
    async drained(subKey) {
      const [depth] = await test.broker.depth([subKey]);
      return depth?.waiting === 0 && depth.leased === 0 && depth.delayed === 0;
    },
    async stop(graceMs = 2_000) {
      clearInterval(tending);
      await runner.stop(graceMs);
      await queues.close();
      test.close();
      for (const redis of connections) redis.disconnect();
    },
  };
}

function viewOf(subKey: string): DeliverySubscription {
  return {
    subKey,
    name: subKey,
    service: 'work',
    enabled: true,
    paused: false,
    batch: 50,
    concurrency: 10,
    ordered: false,
    maxDeliveries: 20,
    retryMs: [50],
    leaseMs: 30_000,
    timeoutMs: 60_000,
  };
}

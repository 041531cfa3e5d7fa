import type { Redis } from 'ioredis';
import { newCid } from '../../runtime/core/cid.ts';
import { DeliveryQueues } from '../../runtime/delivery/delivery-queues.ts';
import { DeliveryRunner } from '../../runtime/delivery/delivery-runner.ts';
import type { DeliverySubscription } from '../../runtime/delivery/subscription.ts';
import { Service } from '../../runtime/index.ts';
import { Journey } from '../../runtime/journey/journey.ts';
import { observeBroker } from '../../runtime/journey/observe-broker.ts';
import { observeDelivery } from '../../runtime/journey/observe-delivery.ts';
import type { Logger } from '../../runtime/log/logger.ts';
import { Broker } from '../../runtime/pubsub/broker.ts';
import { RouteFeed } from '../../runtime/pubsub/route-feed.ts';
import type { SubscriptionDefinition } from '../../runtime/pubsub/route-table.ts';
import { subscriptionType } from '../../runtime/pubsub/subscription-definition.ts';
import { checkTopicName, normaliseTopic } from '../../runtime/pubsub/topic-name.ts';
import { connectRedis } from '../../runtime/redis/connection.ts';
import { deliveredCall } from '../../runtime/service/delivered-call.ts';
import { Registry } from '../../runtime/service/registry.ts';
import type { ServiceClass } from '../../runtime/service/service-class.ts';
import { ServicePublisher } from '../../runtime/service/service-publisher.ts';
import { ServiceVersion } from '../../runtime/service/version.ts';
import { until } from '../support/until.ts';
import { inFlight, type Meter } from './contest.ts';

const prefix = '{hence}:';
const kept = [`${prefix}ps:subs`, `${prefix}ps:subs:rev`];

const silent: Logger = {
  debugging: false,
  debug() {},
  info() {},
  warn() {},
  error() {},
  child: () => silent,
};

interface SpoutOrder {
  readonly topic: string;
  readonly data: unknown;
  readonly count: number;
  readonly places: number;
}

/** Publishes as services do. */
class Spout extends Service<SpoutOrder> {
  async handle(): Promise<void> {
    const { topic, data, count, places } = this.request.input;
    await inFlight(count, places, () => this.publish(topic, data));
  }
}

/** Of a subscription as `hence.yaml` has it. */
export interface BenchSubscription {
  readonly subKey: string;
  readonly topics: readonly string[];
  readonly service?: string;
  readonly security?: string;
  readonly concurrency?: number;
  readonly batch?: number;
  readonly maxDepth?: number;
}

/** What a worker has between a service and Redis, in this process: the same parts, on connections of their own. */
export class HenceSide {
  readonly broker: Broker;
  readonly registry: Registry;
  readonly #connections: Redis[] = [];
  readonly #path: string;
  readonly #meter: Meter;
  readonly #definitions: readonly SubscriptionDefinition[];
  readonly #queues: DeliveryQueues;
  readonly #journey: Journey;

  static async open(
    path: string,
    meter: Meter,
    subscriptions: readonly BenchSubscription[],
  ): Promise<HenceSide> {
    const definitions = subscriptions.map((spec) => ({
      name: spec.subKey,
      spec: subscriptionType().schema.parse({
        ...spec,
        ...(spec.service === undefined ? { security: spec.subKey } : {}),
      }),
    }));
    const side = new HenceSide(path, meter, definitions);
    await side.broker.start();
    return side;
  }

  private constructor(path: string, meter: Meter, definitions: readonly SubscriptionDefinition[]) {
    this.#path = path;
    this.#meter = meter;
    this.#definitions = definitions;
    const redis = this.#connect('command');
    const source = new RouteFeed({ revision: () => 0, refresh: async () => {} });
    source.load(definitions);
    this.#queues = new DeliveryQueues({ redis: this.#connect('command'), log: silent });
    this.#journey = new Journey({ redis: this.#connect('command') });
    this.broker = new Broker({
      redis,
      subscriber: () => this.#connect('subscriber'),
      source,
      log: silent,
      onWake: (subKeys) => this.#queues.wake(subKeys),
    });
    const publisher = new ServicePublisher({
      broker: observeBroker(this.broker, this.#journey, (subKey) => subKey),
      isService: (name) => this.registry.get(name) !== undefined,
      isTopic: () => true,
      topic: (topic) => {
        checkTopicName(topic);
        return { topic: normaliseTopic(topic) };
      },
    });
    const none = () => {
      throw new Error('not here');
    };
    this.registry = new Registry({
      log: silent,
      outgoing: none,
      kvdb: none,
      invokeAsync: none,
      publish: (publication) => publisher.publish(publication),
    });
    this.deploy('bench.spout', Spout);
  }

  deploy(name: string, ServiceClassOf: ServiceClass): void {
    const about = { name, file: name, path: name, version: 1, hash: 'h', dispose: () => {} };
    this.registry.replace(name, [new ServiceVersion({ ...about, ServiceClass: ServiceClassOf })]);
  }

  /** All queues empty. */
  clear(): Promise<void> {
    return this.#meter.clear(prefix, kept);
  }

  /** `this.publish(topic, data)` of a service, so often, so many at a time. */
  async publish(topic: string, data: unknown, count: number, places: number): Promise<void> {
    const input: SpoutOrder = { topic, data, count, places };
    await this.registry.invoke({ cid: newCid(), service: 'bench.spout', input, rawRequest: input });
  }

  /** So many batches of the size, so many at a time. */
  async takeAndAck(subKey: string, batches: number, max: number, places: number): Promise<void> {
    await inFlight(batches, places, async () => {
      const taken = await this.broker.take(subKey, { max });
      if (taken.length < max) throw new Error(`Messages are missing in ${subKey}`);
      const held = await this.broker.ack(subKey, taken);
      if (held.includes(false)) throw new Error(`A lease of ${subKey} was not held`);
    });
  }

  /** What delivers the push subscriptions; not started yet. */
  runner(): DeliveryRunner {
    const views = new Map(this.#definitions.map((one) => [one.spec.subKey, viewOf(one)]));
    return new DeliveryRunner({
      redis: this.#connect('worker'),
      commands: this.#connect('command'),
      broker: this.broker,
      queues: this.#queues,
      subscriptions: { get: (subKey) => views.get(subKey) },
      services: {
        has: (service) => this.registry.get(service) !== undefined,
        invoke: (service, delivery, limits) =>
          this.registry.invoke(
            deliveredCall(service, delivery, { revive: (_name, value) => value, ...limits }),
          ),
      },
      outgoing: () => {
        throw new Error('not here');
      },
      pauseSubscription: async () => {},
      note: observeDelivery(this.#journey),
      log: silent,
    });
  }

  async drained(subKey: string): Promise<void> {
    await until(async () => {
      const [depth] = await this.broker.depth([subKey]);
      return depth?.waiting === 0 && depth.leased === 0 && depth.delayed === 0 ? true : undefined;
    }, 10_000);
  }

  async close(): Promise<void> {
    this.broker.close();
    await this.#journey.close();
    await this.#queues.close();
    for (const redis of this.#connections) redis.disconnect();
  }

  #connect(role: 'command' | 'subscriber' | 'worker'): Redis {
    const redis = connectRedis({ path: this.#path }, role, () => {});
    this.#connections.push(redis);
    return redis;
  }
}

function viewOf({ name, spec }: SubscriptionDefinition): DeliverySubscription {
  const { subKey = '', service = '', enabled, paused, batch, concurrency, ordered } = spec;
  const { maxDeliveries, maxInflight } = spec;
  const facts = { subKey, name, service, enabled, paused, batch, concurrency, ordered };
  return {
    ...facts,
    ...{ maxDeliveries, maxInflight, retryMs: [1_000], leaseMs: 30_000, timeoutMs: 60_000 },
  };
}

/** JSON of so many bytes. */
export function dataOf(bytes: number): { readonly text: string } {
  return { text: 'x'.repeat(bytes - JSON.stringify({ text: '' }).length) };
}

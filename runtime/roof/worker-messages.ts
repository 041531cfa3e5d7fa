import type { IncomingMessage, ServerResponse } from 'node:http';
import { hostname } from 'node:os';
import type { Redis } from 'ioredis';
import { WsxPubSub } from '../../channels/pubsub/websocket/wsx-pubsub.ts';
import { Zato2Door } from '../../channels/pubsub/zato2/zato2-door.ts';
import { Zato3Door } from '../../channels/pubsub/zato3/zato3-door.ts';
import { Zato4Door } from '../../channels/pubsub/zato4/zato4-door.ts';
import type { OutgoingConnections } from '../../outgoing/http/connections.ts';
import type { DefinitionStore } from '../config/store.ts';
import { background } from '../core/background.ts';
import type { DeliveryQueues } from '../delivery/delivery-queues.ts';
import type { DeliveryRunner } from '../delivery/delivery-runner.ts';
import type { Loader } from '../deploy/loader.ts';
import type { Journey } from '../journey/journey.ts';
import { observeBroker } from '../journey/observe-broker.ts';
import { observeOutgoing } from '../journey/observe-calls.ts';
import { observeDelivery } from '../journey/observe-delivery.ts';
import type { Logger } from '../log/logger.ts';
import type { Broker } from '../pubsub/broker.ts';
import { EndpointBroker } from '../pubsub/endpoint-broker.ts';
import { topicRules } from '../pubsub/topic-definition.ts';
import { checkTopicName, normaliseTopic } from '../pubsub/topic-name.ts';
import { Zato3PubSub } from '../pubsub/zato3-pubsub.ts';
import type { RedisRole } from '../redis/connection.ts';
import type { Authenticator } from '../security/authenticator.ts';
import type { Call, Reply } from '../service/call.ts';
import { deliveredCall } from '../service/delivered-call.ts';
import type { Registry } from '../service/registry.ts';
import { ServicePublisher } from '../service/service-publisher.ts';
import { ClientSubscriptions } from './client-subscriptions.ts';
import type { DefinitionTypes } from './definition-types.ts';
import { deliveries, Messaging } from './messaging.ts';

/** What a worker's messages need of its other parts. */
export interface WorkerMessagesOptions {
  /** Loaded. */
  readonly store: DefinitionStore;
  readonly types: DefinitionTypes;
  readonly connect: (role: RedisRole) => Redis;
  readonly registry: Registry;
  readonly invoke: (call: Call) => Promise<Reply>;
  readonly loader: Loader;
  readonly outgoing: OutgoingConnections;
  readonly authenticator: Authenticator;
  readonly journey: Journey;
  /** Whether REST clients may subscribe and unsubscribe themselves. */
  readonly restSubscribe: boolean;
  readonly log: Logger;
}

interface Door {
  handle(req: IncomingMessage, res: ServerResponse): boolean;
  drain(): Promise<void>;
}

/** Topics and queues as a worker serves them: to its services, over REST, and by delivering. */
export class WorkerMessages {
  readonly messaging: Messaging;
  /** What services publish goes here. */
  readonly publisher: ServicePublisher;
  readonly #options: WorkerMessagesOptions;
  readonly #broker: Broker;
  /** `this.pubsub` of services. */
  readonly pubsub: Zato3PubSub;
  readonly endpoints: EndpointBroker;
  /** Topics for WebSocket clients. */
  readonly wsxPubSub: WsxPubSub;
  readonly #doors: readonly Door[];
  readonly #clients: ClientSubscriptions;
  #queues: Promise<DeliveryQueues> | undefined;
  #runner: Promise<DeliveryRunner> | undefined;

  constructor(options: WorkerMessagesOptions) {
    const { store, types, connect, registry, journey, log } = options;
    this.#options = options;
    this.messaging = new Messaging({
      store,
      types,
      log,
      redis: connect('command'),
      subscriber: () => connect('subscriber'),
      onWake: (subKeys) => this.#wake(subKeys),
    });
    const nameOf = (subKey: string) =>
      this.messaging.routes.get(subKey)?.definition?.name ?? subKey;
    this.#broker = observeBroker(this.messaging.broker, journey, nameOf);
    this.#clients = new ClientSubscriptions({
      store,
      types,
      routes: () => this.messaging.routes,
      purge: (subKey) => this.#broker.purge(subKey, { state: 'waiting' }),
    });
    this.publisher = new ServicePublisher({
      broker: this.#broker,
      isService: (name) => registry.get(name) !== undefined,
      isTopic: (name) => this.#rulesOf(name) !== undefined,
      topic: (name) => this.#topicOf(name),
    });
    const broker = this.#broker;
    this.endpoints = new EndpointBroker({
      broker,
      endpoints: this.messaging.endpoints,
      topic: (name) => this.#rulesOf(name),
      routes: () => this.messaging.routes,
    });
    this.pubsub = new Zato3PubSub({
      broker,
      endpoints: this.endpoints,
      services: {
        has: (name) => registry.get(name) !== undefined,
        publish: (publication) => this.publisher.publish(publication),
      },
      createTopic: async (name, spec) => {
        await store.create(types.topic.type, name, spec);
      },
      serverName: hostname(),
    });
    this.wsxPubSub = new WsxPubSub({
      broker,
      endpointBroker: this.endpoints,
      endpoints: this.messaging.endpoints,
      redis: connect('command'),
      log,
    });
    this.#doors = this.#openDoors();
    this.messaging.start();
    this.wsxPubSub.start();
  }

  /** Serves what is for a publish/subscribe API, and says whether it was. */
  readonly handle = (req: IncomingMessage, res: ServerResponse): boolean =>
    this.#doors.some((door) => door.handle(req, res));

  /** Ends the long polls, and resolves when what was handed out is settled. */
  async drain(): Promise<void> {
    await Promise.all(this.#doors.map((door) => door.drain()));
  }

  /** Begins to deliver to push subscriptions. */
  deliver(): void {
    this.#runner ??= this.#startRunner();
    background(this.#runner, (error) => {
      this.#options.log.error('messages are not delivered here', { error });
    });
  }

  /** Takes nothing more to deliver, and finishes what runs. */
  async stopDelivering(graceMs: number): Promise<void> {
    const runner = await this.#runner?.catch(() => undefined);
    await runner?.stop(graceMs);
  }

  async close(): Promise<void> {
    await this.wsxPubSub.stop();
    this.messaging.close();
    const queues = await this.#queues?.catch(() => undefined);
    await queues?.close();
  }

  #openDoors(): readonly Door[] {
    const { authenticator, restSubscribe, log } = this.#options;
    const { permissions, endpoints } = this.messaging;
    const common = {
      broker: this.#broker,
      permissions,
      topics: { get: (name: string) => this.#rulesOf(name) },
      authenticator,
      log,
    };
    return [
      new Zato4Door({
        ...common,
        subscriptions: this.#clients,
        subscribeEnabled: restSubscribe,
      }),
      // 2.0 and 3.x share their URLs but for the slash at the end.
      new Zato2Door({ ...common, subscriptions: this.#clients.consumers }),
      new Zato3Door({ ...common, endpoints, endpointBroker: this.endpoints }),
    ];
  }

  #wake(subKeys: readonly string[]): void {
    background(
      this.#delivery().then((queues) => queues.wake(subKeys)),
      (error) => this.#options.log.error('deliveries are not woken', { error }),
    );
  }

  // BullMQ takes a tenth of a second to import: not before the first request is served.
  #delivery(): Promise<DeliveryQueues> {
    const { connect, log } = this.#options;
    this.#queues ??= import('../delivery/delivery-queues.ts').then(
      (module) => new module.DeliveryQueues({ redis: connect('command'), log }),
    );
    return this.#queues;
  }

  async #startRunner(): Promise<DeliveryRunner> {
    const { connect, registry, invoke, loader, outgoing, journey, log, types } = this.#options;
    const viewOf = deliveries(types);
    const [queues, module] = await Promise.all([
      this.#delivery(),
      import('../delivery/delivery-runner.ts'),
    ]);
    const runner = new module.DeliveryRunner({
      redis: connect('worker'),
      commands: connect('command'),
      broker: this.messaging.broker,
      queues,
      subscriptions: { get: (subKey) => viewOf(this.messaging.routes.get(subKey)) },
      services: {
        has: (name) => registry.get(name) !== undefined,
        version: (name) => registry.get(name)?.version,
        invoke: (service, delivery, limits) =>
          invoke(deliveredCall(service, delivery, { revive: loader.reviveModel, ...limits })),
      },
      outgoing: observeOutgoing((name) => outgoing.get(name), journey),
      pauseSubscription: (subKey) => this.#clients.pause(subKey),
      note: observeDelivery(journey),
      log,
    });
    runner.start();
    return runner;
  }

  #rulesOf(name: string) {
    const { store, types } = this.#options;
    const topic = store.get(types.topic, name);
    return topic && topicRules(topic.spec);
  }

  /** A service may publish to any topic; only a defined one has rules and counters (Zato 4.x). */
  #topicOf(name: string) {
    checkTopicName(name);
    const topic = normaliseTopic(name);
    const rules = this.#rulesOf(topic);
    if (!rules) return { topic, counted: false };
    const { enabled, ...settings } = rules;
    return { topic, ...settings };
  }
}

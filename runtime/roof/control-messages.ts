import type { Redis } from 'ioredis';
import { JourneyDesk } from '../admin/journey-desk.ts';
import { MessageDesk } from '../admin/message-desk.ts';
import { QueueDesk } from '../admin/queue-desk.ts';
import { ScheduleDesk } from '../admin/schedule-desk.ts';
import type { DefinitionStore } from '../config/store.ts';
import type { DefinitionChange } from '../config/table.ts';
import { background } from '../core/background.ts';
import type { DeliveryQueues } from '../delivery/delivery-queues.ts';
import { Redrive } from '../delivery/redrive.ts';
import { Journey } from '../journey/journey.ts';
import { JourneyReader } from '../journey/journey-reader.ts';
import { observeBroker } from '../journey/observe-broker.ts';
import type { Logger } from '../log/logger.ts';
import type { Redactor } from '../log/redact.ts';
import { EndpointBroker } from '../pubsub/endpoint-broker.ts';
import type { SubscriptionSpec } from '../pubsub/subscription-definition.ts';
import { topicRules } from '../pubsub/topic-definition.ts';
import type { Schedules } from '../schedule/schedules.ts';
import type { DefinitionTypes } from './definition-types.ts';
import { Messaging } from './messaging.ts';

export interface ControlMessagesOptions {
  /** Loaded. */
  readonly store: DefinitionStore;
  readonly types: DefinitionTypes;
  readonly redis: Redis;
  readonly subscriber: () => Redis;
  readonly redactor: Redactor;
  /** Undefined until the first deploy is done. */
  readonly isDeployed: () => ((service: string) => boolean) | undefined;
  readonly log: Logger;
}

/** Queues without a subscription are looked for now and then: their process may have died before it dropped them. */
const sweepMs = 10 * 60_000;
/** What had begun before a topic or a subscription was deleted may leave a mark for it within. */
const lateMs = 5_000;

/** Topics, queues and schedules as operators see them, and the order that the control process keeps in them. */
export class ControlMessages {
  readonly messages: MessageDesk;
  readonly queues: QueueDesk;
  readonly journeys: JourneyDesk;
  readonly schedules: ScheduleDesk;
  readonly #options: ControlMessagesOptions;
  readonly #messaging: Messaging;
  readonly #endpoints: EndpointBroker;
  readonly #journey: Journey;
  readonly #timer: NodeJS.Timeout;
  readonly #late = new Set<NodeJS.Timeout>();
  #waking: Promise<DeliveryQueues> | undefined;
  #schedules: Promise<Schedules> | undefined;

  constructor(options: ControlMessagesOptions) {
    const { store, types, redis, log, redactor } = options;
    this.#options = options;
    this.#messaging = new Messaging({
      ...{ store, types, redis, log },
      subscriber: options.subscriber,
      onWake: (subKeys) => this.#wake(subKeys),
    });
    this.#journey = new Journey({
      redis,
      place: 'control',
      redact: (text) => redactor.text(text),
      subscriptionsOf: (topic) =>
        this.#messaging.routes
          .match(topic)
          .map(({ subKey, definition }) => definition?.name ?? subKey),
    });
    const broker = observeBroker(this.#messaging.broker, this.#journey, (subKey) => {
      return this.#messaging.routes.get(subKey)?.definition?.name ?? subKey;
    });
    const source = this.#messaging;
    const rulesOf = (name: string) => {
      const found = store.get(types.topic, name);
      return found && topicRules(found.spec);
    };
    this.#endpoints = new EndpointBroker({
      broker,
      endpoints: this.#messaging.endpoints,
      topic: rulesOf,
      routes: () => this.#messaging.routes,
    });
    this.messages = new MessageDesk({ broker, source, topic: rulesOf });
    this.queues = new QueueDesk({ broker, source, log, redrive: new Redrive(broker) });
    this.journeys = new JourneyDesk({ broker, source, reader: new JourneyReader({ redis }) });
    this.schedules = new ScheduleDesk({ definitions: store, schedules: () => this.#scheduling() });
    this.#messaging.start();
    store.onChange((changes) => this.#tidy(changes));
    this.#timer = setInterval(() => this.#sweep(), sweepMs);
    this.#sweep();
  }

  /** Begins to make the schedules' ticks what the definitions say. */
  schedule(): void {
    background(this.#scheduling(), (error) => {
      this.#options.log.error('schedules are not kept', { error });
    });
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    for (const timer of this.#late) clearTimeout(timer);
    this.#messaging.close();
    const [queues, schedules] = await Promise.all([
      this.#waking?.catch(() => undefined),
      this.#schedules?.catch(() => undefined),
      this.#journey.close(),
    ]);
    await Promise.all([queues?.close(), schedules?.close()]);
  }

  #wake(subKeys: readonly string[]): void {
    const { redis, log } = this.#options;
    this.#waking ??= import('../delivery/delivery-queues.ts').then(
      (module) => new module.DeliveryQueues({ redis, log }),
    );
    background(
      this.#waking.then((queues) => queues.wake(subKeys)),
      (error) => log.error('deliveries are not woken', { error }),
    );
  }

  #scheduling(): Promise<Schedules> {
    const { store, types, redis, log } = this.#options;
    this.#schedules ??= import('../schedule/schedules.ts').then((module) => {
      const schedules = new module.Schedules({
        redis,
        definitions: () => store.list(types.schedule),
        log,
      });
      schedules.start();
      return schedules;
    });
    return this.#schedules;
  }

  #tidy(changes: readonly DefinitionChange[]): void {
    const { types } = this.#options;
    const of = (type: string) => changes.filter((change) => change.type === type);
    const gone = of(types.topic.type).filter(({ after }) => !after);
    if (gone.length > 0) this.#forget(gone.map(({ name }) => name));
    for (const { before, after } of of(types.subscription.type)) this.#settle(before, after);
    if (of(types.endpoint.type).some(({ after }) => !after)) {
      background(this.#endpoints.dropOrphans(), (error) => {
        this.#options.log.warn('queues of deleted endpoints are left to the next sweep', { error });
      });
    }
    if (of(types.schedule.type).length > 0 && this.#schedules) {
      background(
        this.#schedules.then((schedules) => schedules.refresh()),
        () => {},
      );
    }
  }

  #forget(topics: readonly string[]): void {
    const { store, types, log } = this.#options;
    const forget = () => {
      const gone = topics.filter((topic) => !store.get(types.topic, topic));
      background(this.#messaging.broker.forgetTopics(gone), (error) =>
        log.warn('counters of deleted topics are left', { error }),
      );
    };
    forget();
    this.#later(forget);
  }

  /** A queue goes with its subscription; a delivery that was resumed or changed goes on at once. */
  #settle(before: DefinitionChange['before'], after: DefinitionChange['after']): void {
    const { broker, routes } = this.#messaging;
    const old = before?.spec as SubscriptionSpec | undefined;
    const now = after?.spec as SubscriptionSpec | undefined;
    if (old?.subKey !== undefined && !routes.get(old.subKey)) {
      const { subKey } = old;
      const drop = () =>
        background(broker.drop(subKey), (error) => {
          this.#options.log.warn('a queue is left to the next sweep', {
            subscription: before?.name,
            error,
          });
        });
      drop();
      this.#later(drop);
    } else if (now?.subKey !== undefined && now.delivery === 'push') {
      background(broker.wake([now.subKey]), () => {});
    }
  }

  #later(act: () => void): void {
    const timer = setTimeout(() => {
      this.#late.delete(timer);
      act();
    }, lateMs);
    this.#late.add(timer);
  }

  #sweep(): void {
    const { log } = this.#options;
    background(this.#dropUnowned(), (error) => log.debug('queues not swept', { error }));
  }

  async #dropUnowned(): Promise<void> {
    const { log } = this.#options;
    const { broker } = this.#messaging;
    const orphans = await broker.sweepOrphans();
    if (orphans.length > 0) log.warn('queues without a subscription dropped', { orphans });
    await this.#endpoints.dropOrphans();
    const isDeployed = this.#options.isDeployed();
    if (!isDeployed) return;
    const unowned = broker
      .subscriptions()
      .filter(({ facts: { service } }) => service !== undefined && !isDeployed(service));
    const depths = await broker.depth(unowned.map(({ subKey }) => subKey));
    for (const [n, { subKey }] of unowned.entries()) {
      const { waiting = 0, leased = 0, delayed = 0, dead = 0 } = depths[n] ?? {};
      // What waits for a service may be wanted when it comes back.
      if (waiting + leased + delayed + dead === 0) await broker.unsubscribe(subKey);
    }
  }
}

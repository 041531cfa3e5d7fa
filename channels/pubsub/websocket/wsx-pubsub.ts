import { background } from '../../../runtime/core/background.ts';
import { Fault } from '../../../runtime/core/fault.ts';
import { newSubKey } from '../../../runtime/pubsub/endpoint-broker.ts';
import { Holders } from '../../../runtime/pubsub/holders.ts';
import type { SubscriptionRoute } from '../../../runtime/pubsub/route-table.ts';
import { normaliseTopic } from '../../../runtime/pubsub/topic-name.ts';
import type { WsxPubSubPort } from '../../../runtime/service/pubsub-ports.ts';
import type { WsxSession } from '../../../runtime/service/wsx.ts';
import { Caretaker } from './caretaker.ts';
import { FrameWriter } from './delivery-frame.ts';
import { Feed } from './feed.ts';
import { Feeds } from './feeds.ts';
import { gatewayServices } from './gateway-services.ts';
import {
  type ClientResponse,
  type DeliveryHost,
  defaultDeliveryLimits,
  type GatewayService,
  type WsxPubSubOptions,
} from './ports.ts';
import { takeBack } from './take-back.ts';

const defaultDeadMs = 30_000;
const beatsPerDeath = 3;
const maxPerSession = 100;
/** RFC 6455 registry: "try again later". */
const tryAgainLater = 1013;
const notAllowed = 'You are not allowed to access this resource';

/** Delivers topics to clients of WebSocket channels, as Zato 3.x does. */
export class WsxPubSub implements WsxPubSubPort {
  /** What gateways offer of it, by name. */
  readonly gatewayServices: Readonly<Record<string, GatewayService>>;
  readonly #options: WsxPubSubOptions;
  readonly #holders: Holders;
  readonly #caretaker: Caretaker;
  readonly #host: DeliveryHost;
  readonly #feeds = new Feeds();
  /** By session and topic. */
  readonly #subscribing = new Map<string, Promise<string>>();
  readonly #endings = new Set<Promise<unknown>>();

  constructor(options: WsxPubSubOptions) {
    const { broker, redis, namespace = 'hence', log, deadMs = defaultDeadMs } = options;
    this.#options = options;
    this.#holders = new Holders({ redis, namespace, deadMs });
    this.#caretaker = new Caretaker({
      holders: this.#holders,
      broker,
      log,
      everyMs: deadMs / beatsPerDeath,
      check: () => this.#check(),
    });
    this.#host = {
      broker,
      log,
      writer: new FrameWriter(),
      limits: { ...defaultDeliveryLimits, ...options.limits },
      keeps: (subKey, token) => this.#keeps(subKey, token),
    };
    this.gatewayServices = gatewayServices({
      wsx: this,
      endpointBroker: options.endpointBroker,
      endpointOf: (session) => this.#endpointOf(session),
    });
  }

  start(): void {
    this.#caretaker.start();
  }

  /** After the clients are gone; resolves when what they left is settled. */
  async stop(): Promise<void> {
    await this.#caretaker.stop();
    while (this.#endings.size > 0) await Promise.allSettled([...this.#endings]);
  }

  /** Subscriptions that are delivered here. */
  get size(): number {
    return this.#feeds.size;
  }

  subscribe(
    session: WsxSession,
    topicName: string,
    options: { readonly unsubOnClose: boolean; readonly ack?: 'client' },
  ): Promise<string> {
    const topic = normaliseTopic(topicName);
    const place = `${session.id} ${topic}`;
    const known = this.#feeds.ofTopic(session, topic)?.subKey;
    if (known !== undefined) return Promise.resolve(known);
    const subscribing =
      this.#subscribing.get(place) ??
      this.#subscribe(session, topic, options).finally(() => this.#subscribing.delete(place));
    this.#subscribing.set(place, subscribing);
    return subscribing;
  }

  async #subscribe(
    session: WsxSession,
    topic: string,
    { unsubOnClose, ack }: { readonly unsubOnClose: boolean; readonly ack?: 'client' },
  ): Promise<string> {
    const endpoint = this.#endpointOf(session);
    this.#makeRoom(session);
    const subKey = newSubKey('websockets');
    const facts = {
      kind: 'websocket',
      unsub: String(unsubOnClose),
      channel: session.channel,
      ...(ack === undefined ? {} : { ack }),
    };
    // First, so that whoever finds it knows whose it is.
    const token = await this.#holders.hold(subKey);
    try {
      await this.#options.endpointBroker.subscribe(topic, endpoint, { subKey, facts });
    } catch (error) {
      this.#ending(this.#undo(subKey, token, error), { subKey, session });
      throw error;
    }
    this.#deliver(this.#feedOf(session, { subKey, token, clientAcks: ack === 'client' }), topic);
    return subKey;
  }

  async resume(session: WsxSession, subKey: string): Promise<void> {
    const route = await this.#mine(session, subKey);
    const topic = route.topics[0] ?? '';
    const delivering = this.#feeds.get(subKey);
    if (delivering?.session === session) return;
    this.#makeRoom(session);
    const token = await this.#holders.hold(subKey);
    // Who had it here until now, or took it at the same moment.
    const older = this.#feeds.get(subKey);
    if (older) await this.#detach(older);
    // Somebody may have ended it before it was held.
    await this.#options.broker.refresh();
    if (!this.#subscribed(subKey)) {
      await this.#holders.release(subKey, token);
      throw unknownKey(subKey);
    }
    await takeBack(this.#options.broker, subKey);
    const clientAcks = route.facts?.['ack'] === 'client';
    const feed = this.#feedOf(session, { subKey, token, clientAcks });
    this.#deliver(feed, topic);
  }

  /** Ends a subscription of this client, whatever waits in its queue. */
  async unsubscribe(session: WsxSession, subKey: string): Promise<void> {
    await this.#mine(session, subKey);
    const token = await this.#holders.hold(subKey);
    const feed = this.#feeds.get(subKey);
    if (feed) await this.#detach(feed);
    await this.#options.broker.unsubscribe(subKey);
    await this.#holders.release(subKey, token);
  }

  /** The key of a topic that this client subscribed to. */
  keyOf(session: WsxSession, topic: string): string | undefined {
    return this.#feeds.ofTopic(session, normaliseTopic(topic))?.subKey;
  }

  /** What channels pass on: true when it was for a delivery. */
  answered(session: WsxSession, response: ClientResponse): boolean {
    return this.#feeds.of(session).some((feed) => feed.answered(response));
  }

  #feedOf(
    session: WsxSession,
    holding: { readonly subKey: string; readonly token: string; readonly clientAcks: boolean },
  ): Feed {
    const lost = () => this.#ending(this.#lose(feed), feed);
    const feed = new Feed({ host: this.#host, session, ...holding, lost });
    return feed;
  }

  #deliver(feed: Feed, topic: string): void {
    const { session } = feed;
    if (this.#feeds.add(feed, topic)) {
      // At once, where it closed meanwhile.
      session.onClose(() => {
        for (const one of this.#feeds.removeAll(session)) this.#ending(this.#end(one), one);
      });
    }
    // After the answer to who subscribed.
    setImmediate(() => feed.start());
  }

  async #end(feed: Feed): Promise<void> {
    await this.#detach(feed);
    await this.#caretaker.finish(feed);
  }

  async #detach(feed: Feed): Promise<void> {
    this.#feeds.remove(feed);
    // What cannot be put back comes back when its lease is over.
    await feed.close().catch((error: unknown) => this.#note(feed, error));
  }

  /** What failed may have been done all the same. */
  async #undo(subKey: string, token: string, error: unknown): Promise<void> {
    if (!Fault.is(error) || error.code === 'unavailable') {
      await this.#options.broker.unsubscribe(subKey);
    }
    await this.#holders.release(subKey, token);
  }

  #ending(ending: Promise<void>, whose: Pick<Feed, 'subKey' | 'session'>): void {
    const noted = ending.catch((error: unknown) => this.#note(whose, error));
    this.#endings.add(noted);
    background(
      noted.finally(() => this.#endings.delete(noted)),
      () => {},
    );
  }

  /** Looks whether what is delivered here still is for here. */
  async #check(): Promise<void> {
    if (this.#feeds.size === 0) return;
    const { broker } = this.#options;
    await broker.refresh();
    const subscribed = new Set(broker.subscriptions().map(({ subKey }) => subKey));
    await Promise.all(
      this.#feeds.all().map(async (feed) => {
        const kept = subscribed.has(feed.subKey) && (await this.#keeps(feed.subKey, feed.token));
        if (!kept) await this.#lose(feed);
      }),
    );
  }

  /** Holds again what nobody does, as after a pause in which this process was taken for dead. */
  async #keeps(subKey: string, token: string): Promise<boolean> {
    const standing = await this.#holders.standing(subKey, token);
    if (standing !== 'gone') return standing === 'held';
    await this.#options.broker.refresh();
    return this.#subscribed(subKey) && (await this.#holders.holdAgain(subKey, token));
  }

  async #lose(feed: Feed): Promise<void> {
    if (this.#feeds.get(feed.subKey) !== feed) return;
    await this.#detach(feed);
    // Who keeps a connection whose subscription was ended waits for messages that never come.
    if (!this.#subscribed(feed.subKey)) {
      feed.session.close(tryAgainLater, 'The subscription has ended');
    }
  }

  #subscribed(subKey: string): boolean {
    return this.#options.broker.subscriptions().some((one) => one.subKey === subKey);
  }

  /** @throws Fault `not-found`, `forbidden` */
  async #mine(session: WsxSession, subKey: string): Promise<SubscriptionRoute> {
    const endpoint = this.#endpointOf(session);
    const route = await this.#options.endpointBroker.find(subKey);
    if (route?.facts?.['kind'] !== 'websocket') throw unknownKey(subKey);
    if (route.facts['endpoint'] !== endpoint) throw new Fault('forbidden', notAllowed);
    return route;
  }

  /**
   * Who a client is: the endpoint of its security definition. Where everyone may come, it is the endpoint without one
   * that is called as the channel. @throws Fault `forbidden`
   */
  #endpointOf({ security, channel }: WsxSession): string {
    const { endpoints } = this.#options;
    const endpoint =
      security === undefined ? endpoints.get(channel) : endpoints.bySecurity(security);
    if (endpoint && endpoint.security === security) return endpoint.name;
    throw new Fault('forbidden', notAllowed);
  }

  #makeRoom(session: WsxSession): void {
    if (this.#feeds.of(session).length < maxPerSession) return;
    throw new Fault('too-many', `A client has at most ${maxPerSession} subscriptions`);
  }

  #note({ subKey, session }: Pick<Feed, 'subKey' | 'session'>, error: unknown): void {
    this.#options.log.warn('WebSocket subscription not settled', {
      subKey,
      client: session.id,
      error,
    });
  }
}

function unknownKey(subKey: string): Fault {
  return new Fault('not-found', `No such sub_key \`${subKey}\``);
}

import type { Redis } from 'ioredis';
import { background } from '../../../runtime/core/background.ts';
import { Fault } from '../../../runtime/core/fault.ts';
import type { Logger } from '../../../runtime/log/logger.ts';
import { newSubKey } from '../../../runtime/pubsub/endpoint-broker.ts';
import { Holders } from '../../../runtime/pubsub/holders.ts';
import type { SubscriptionRoute } from '../../../runtime/pubsub/route-table.ts';
import { normaliseTopic } from '../../../runtime/pubsub/topic-name.ts';
import type { WsxPubSubPort } from '../../../runtime/service/pubsub-ports.ts';
import type { WsxSession } from '../../../runtime/service/wsx.ts';
import { Caretaker } from './caretaker.ts';
import { FrameWriter } from './delivery-frame.ts';
import { Feed } from './feed.ts';
import { gatewayServices } from './gateway-services.ts';
import {
  type BrokerPort,
  type ClientResponse,
  type DeliveryHost,
  type DeliveryLimits,
  defaultDeliveryLimits,
  type EndpointBrokerPort,
  type EndpointsPort,
  type GatewayService,
} from './ports.ts';

export interface WsxPubSubOptions {
  readonly broker: BrokerPort;
  readonly endpointBroker: EndpointBrokerPort;
  readonly endpoints: EndpointsPort;
  /** For commands; shared with others. */
  readonly redis: Redis;
  /** The broker's; default `hence`. */
  readonly namespace?: string;
  readonly log: Logger;
  readonly limits?: Partial<DeliveryLimits>;
  /** A process that has not been heard of for so long is taken for dead; default 30 s. */
  readonly deadMs?: number;
}

const defaultDeadMs = 30_000;
const beatsPerDeath = 3;
const maxPerSession = 100;
const page = 100;
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
  readonly #feeds = new Map<string, Feed>();
  /** By the id of the session, then by topic. */
  readonly #sessions = new Map<string, Map<string, Feed>>();
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
    const known = this.#sessions.get(session.id)?.get(topic)?.subKey;
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
    await this.#takeBack(subKey);
    const clientAcks = route.facts?.['ack'] === 'client';
    const feed = this.#feedOf(session, { subKey, token, clientAcks });
    const taken = this.#sessions.get(session.id)?.has(topic);
    this.#deliver(feed, taken ? subKey : topic);
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
    return this.#sessions.get(session.id)?.get(normaliseTopic(topic))?.subKey;
  }

  /** What channels pass on: true when it was for a delivery. */
  answered(session: WsxSession, response: ClientResponse): boolean {
    const feeds = this.#sessions.get(session.id)?.values() ?? [];
    for (const feed of feeds) if (feed.answered(response)) return true;
    return false;
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
    const { session, subKey } = feed;
    this.#feeds.set(subKey, feed);
    const feeds = this.#sessions.get(session.id);
    if (feeds) feeds.set(topic, feed);
    else {
      this.#sessions.set(session.id, new Map([[topic, feed]]));
      // At once, where it closed meanwhile.
      session.onClose(() => this.#closed(session));
    }
    // After the answer to who subscribed.
    setImmediate(() => feed.start());
  }

  #closed(session: WsxSession): void {
    const feeds = [...(this.#sessions.get(session.id)?.values() ?? [])];
    this.#sessions.delete(session.id);
    for (const feed of feeds) this.#ending(this.#end(feed), feed);
  }

  async #end(feed: Feed): Promise<void> {
    await this.#detach(feed);
    await this.#caretaker.finish(feed);
  }

  async #detach(feed: Feed): Promise<void> {
    this.#forget(feed);
    // What cannot be put back comes back when its lease is over.
    await feed.close().catch((error: unknown) => this.#note(feed, error));
  }

  #forget(feed: Feed): void {
    if (this.#feeds.get(feed.subKey) === feed) this.#feeds.delete(feed.subKey);
    const feeds = this.#sessions.get(feed.session.id);
    for (const [topic, one] of feeds ?? []) if (one === feed) feeds?.delete(topic);
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

  /** What the holder before was given and did not settle: nobody else will. */
  async #takeBack(subKey: string): Promise<void> {
    const { broker } = this.#options;
    for (;;) {
      const { items } = await broker.browse(subKey, { state: 'leased', limit: page });
      const ids = items.map(({ message }) => message.msgId);
      const leases = (await broker.leases(subKey, ids)).filter((lease) => lease !== undefined);
      if (leases.length === 0) return;
      await broker.reject(
        subKey,
        leases.map((lease) => ({ ...lease, countFailure: false })),
      );
    }
  }

  /** Looks whether what is delivered here still is for here. */
  async #check(): Promise<void> {
    if (this.#feeds.size === 0) return;
    const { broker } = this.#options;
    await broker.refresh();
    const subscribed = new Set(broker.subscriptions().map(({ subKey }) => subKey));
    await Promise.all(
      [...this.#feeds.values()].map(async (feed) => {
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

  #makeRoom({ id }: WsxSession): void {
    if ((this.#sessions.get(id)?.size ?? 0) < maxPerSession) return;
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

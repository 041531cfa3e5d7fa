import { Fault } from '../core/fault.ts';
import type {
  GetMessagesOptions,
  PubSubMessage,
  PubSubPort,
  PubSubPublication,
  ReadMessagesOptions,
  WsxPubSubPort,
} from './pubsub-ports.ts';
import { type PubSubItem, type PubSubMeta, pubSubPublicationOf } from './pubsub-publication.ts';
import { nameOf, Service, type ServiceReference } from './service.ts';
import type { WsxSession } from './wsx.ts';

/** Who publishes, beside the metadata. */
export interface PubSubSender {
  /** The endpoint whose permissions count; default the runtime itself, which may do all. */
  readonly endpointName?: string | undefined;
  /** Its name becomes the `extClientId` (Zato 3.2). */
  readonly service?: Service<unknown, unknown> | undefined;
}

/** A new topic, in Zato 3.2's terms; what is not here has no meaning here. */
export interface NewTopic {
  readonly name: string;
  /** Default true. */
  readonly isActive?: boolean | undefined;
  /** Every message is kept on disk, whatever it says. */
  readonly hasGd?: boolean | undefined;
}

/**
 * Publish/subscribe as Zato 3.x has it, with topics such as `/zato/demo/sample`. `publish` and
 * `subscribe` check what their endpoint may; the others trust the service that calls them.
 */
export interface PubSub {
  /**
   * Publishes several messages, each with metadata of its own, in this order.
   * @throws the Fault of the first that cannot be published; its details name the ids before it.
   */
  publish<Messages extends PubSubSender & { readonly dataList: readonly PubSubItem[] }>(
    target: ServiceReference,
    messages: Messages,
  ): Promise<readonly string[]>;
  /**
   * Publishes a message and resolves with its id, `zpsm<24 hex>`, once it is in every queue.
   *
   *     const msgId = await this.pubsub.publish('/zato/demo/sample', { data, priority: 9 });
   *
   * An object with a key `data` is taken for this form; publish another such object as
   * `{ data: { data: ... } }`.
   * @param target a topic; or a deployed service, by its name or class
   * @throws Fault `bad-request` naming the field that is wrong; `forbidden` when the endpoint may not;
   * `not-found` for an unknown topic or endpoint; `too-large`, `too-many` (a queue is full), `conflict`,
   * `unavailable`.
   */
  publish(
    target: ServiceReference,
    message: PubSubSender & PubSubItem & { readonly data: unknown },
  ): Promise<string>;
  /**
   * The same with the data itself in the second place. As in Zato 2.0 the data may come first, before a
   * topic that begins with `/`, where what comes first is no topic and no service.
   */
  publish(
    target: ServiceReference,
    data?: unknown,
    meta?: PubSubSender & PubSubMeta,
  ): Promise<string>;

  /** Subscribes an endpoint and resolves with the key of its queue, `zpsk.rest.<24 hex>`. */
  subscribe(topic: string, endpoint: { readonly endpointName: string }): Promise<string>;
  /** Subscribes the WebSocket client that called; `zpsk.websockets.<24 hex>`. */
  subscribe(
    topic: string,
    client: {
      readonly useCurrentWsx: true;
      readonly service: Service<unknown, unknown>;
      /** Default true: false keeps the queue when the client goes, until it resumes. */
      readonly unsubOnWsxClose?: boolean | undefined;
      /** The client answers each message, or gets it again; default: that it was sent is enough. */
      readonly ack?: 'client' | undefined;
    },
  ): Promise<string>;

  /** Takes what waits out of a queue, newest first: up to 10,000 messages or 64 MB at once. */
  getMessages(
    topic: string,
    subKey: string,
    options?: GetMessagesOptions,
  ): Promise<readonly PubSubMessage[]>;

  /** Goes on delivering a queue to the WebSocket client that called. */
  resumeWsxSubscription(subKey: string, service: Service<unknown, unknown>): Promise<void>;

  /** A page of what waits, in the order of delivery; it stays in the queue. */
  readMessages(
    topic: string,
    subKey: string,
    options?: ReadMessagesOptions,
  ): Promise<readonly PubSubMessage[]>;

  /** One message with its details; it stays in the queue. @throws Fault `not-found` */
  readMessage(
    topic: string,
    msgId: string,
    options?: { readonly subKey?: string | undefined },
  ): Promise<PubSubMessage>;

  /** Takes one message out of a queue for good. @throws Fault `not-found`, `conflict` */
  deleteMessage(subKey: string, msgId: string): Promise<void>;

  /** @throws Fault `conflict` when there is such a topic. */
  createTopic(topic: NewTopic): Promise<void>;
}

/** The call that `this.pubsub` is used in. */
export interface PubSubCall {
  readonly cid: string;
  readonly service: string;
  readonly hops: number | undefined;
  readonly modelName: (Class: object) => string | undefined;
  readonly port: PubSubPort | undefined;
  readonly wsxPort: WsxPubSubPort | undefined;
}

interface Subscribing {
  readonly endpointName?: string;
  readonly useCurrentWsx?: boolean;
  readonly service?: Service<unknown, unknown>;
  readonly unsubOnWsxClose?: boolean | undefined;
  readonly ack?: 'client' | undefined;
}

type Sent = PubSubSender & PubSubItem & { readonly dataList?: readonly PubSubItem[] };

/** `this.pubsub` of one call. */
export class ServicePubSub implements PubSub {
  readonly #call: PubSubCall;

  constructor(call: PubSubCall) {
    this.#call = call;
  }

  publish<Messages extends PubSubSender & { readonly dataList: readonly PubSubItem[] }>(
    target: ServiceReference,
    messages: Messages,
  ): Promise<readonly string[]>;
  publish(target: ServiceReference, ...given: readonly unknown[]): Promise<string>;
  async publish(
    target: ServiceReference,
    ...given: readonly unknown[]
  ): Promise<string | readonly string[]> {
    const [topic, ...meta] = given;
    if (this.#isPayload(target, topic)) {
      return await this.#port.publish(this.#publication(topic, sentOf([target, ...meta])));
    }
    const { dataList, ...sent } = sentOf(given);
    if (dataList === undefined) return await this.#port.publish(this.#publication(target, sent));
    const { endpointName, service, ...others } = sent;
    if (!Array.isArray(dataList) || Object.keys(others).length > 0) {
      throw new Fault(
        'bad-request',
        'dataList must be a list of messages, each with its own data and metadata',
      );
    }
    // All are checked before the first is published.
    const publications = dataList.map((item: PubSubItem) =>
      this.#publication(target, { ...item, endpointName, service }),
    );
    return await this.#publishAll(publications);
  }

  async subscribe(topic: string, options: Subscribing): Promise<string> {
    const { endpointName, useCurrentWsx, service, unsubOnWsxClose = true, ack } = options ?? {};
    if (useCurrentWsx) {
      if (!service) {
        throw new Fault(
          'bad-request',
          'Parameter `service` is required if `use_current_wsx` is True',
        );
      }
      const session = sessionOf(service);
      return await this.#wsxPort.subscribe(session, topic, {
        unsubOnClose: unsubOnWsxClose,
        ...(ack === undefined ? {} : { ack }),
      });
    }
    if (!endpointName) {
      throw new Fault(
        'bad-request',
        'Parameter `endpoint_name` is required for non-WebSockets subscriptions',
      );
    }
    return await this.#port.subscribe(topic, endpointName);
  }

  async getMessages(
    topic: string,
    subKey: string,
    options: GetMessagesOptions = {},
  ): Promise<readonly PubSubMessage[]> {
    return await this.#port.getMessages(topic, subKey, options);
  }

  async resumeWsxSubscription(subKey: string, service: Service<unknown, unknown>): Promise<void> {
    await this.#wsxPort.resume(sessionOf(service), subKey);
  }

  async readMessages(
    topic: string,
    subKey: string,
    options: ReadMessagesOptions = {},
  ): Promise<readonly PubSubMessage[]> {
    return await this.#port.readMessages(topic, subKey, options);
  }

  async readMessage(
    topic: string,
    msgId: string,
    { subKey }: { readonly subKey?: string | undefined } = {},
  ): Promise<PubSubMessage> {
    return await this.#port.readMessage(topic, msgId, subKey);
  }

  async deleteMessage(subKey: string, msgId: string): Promise<void> {
    await this.#port.deleteMessage(subKey, msgId);
  }

  async createTopic({ name, isActive = true }: NewTopic): Promise<void> {
    await this.#port.createTopic(name, { enabled: isActive });
  }

  /** Zato 2.0 has the payload first: `publish('My message', '/topic/name')`. */
  #isPayload(first: unknown, second: unknown): second is string {
    if (typeof second !== 'string' || !second.startsWith('/')) return false;
    if (Service.isClass(first)) return false;
    return typeof first !== 'string' || !(first.startsWith('/') || this.#port.knows(first));
  }

  #publication(reference: ServiceReference, sent: Omit<Sent, 'dataList'>): PubSubPublication {
    const { endpointName, service, ...item } = sent;
    const targetIsService = Service.isClass(reference);
    if (!targetIsService && (typeof reference !== 'string' || reference === '')) {
      throw new Fault('bad-request', 'publish wants a topic, the name of a service or its class');
    }
    const { cid, service: publisher, hops, modelName } = this.#call;
    return pubSubPublicationOf(service ? { ...item, extClientId: nameOfCall(service) } : item, {
      target: nameOf(reference),
      targetIsService,
      endpoint: endpointName,
      cid,
      service: publisher,
      hops,
      modelName,
    });
  }

  async #publishAll(publications: readonly PubSubPublication[]): Promise<readonly string[]> {
    const published: string[] = [];
    for (const publication of publications) {
      try {
        published.push(await this.#port.publish(publication));
      } catch (error) {
        if (!Fault.is(error) || published.length === 0) throw error;
        const { code, message, retryAfterMs } = error;
        throw new Fault(code, `${message}; ${published.length} of the list are published`, {
          details: { published },
          cause: error,
          ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
        });
      }
    }
    return published;
  }

  get #port(): PubSubPort {
    if (this.#call.port) return this.#call.port;
    throw new Fault('unavailable', 'There is no publish/subscribe here');
  }

  get #wsxPort(): WsxPubSubPort {
    if (this.#call.wsxPort) return this.#call.wsxPort;
    throw new Fault('unavailable', 'There are no WebSocket subscriptions here');
  }
}

function sentOf([first, meta, ...rest]: readonly unknown[]): Sent {
  if (meta !== undefined || rest.length > 0 || !isMessage(first)) {
    return { ...(meta as Sent), data: first === undefined ? '' : first };
  }
  return first;
}

/** Zato's keyword arguments in one object, and no data of somebody's own. */
function isMessage(value: unknown): value is Sent {
  if (typeof value !== 'object' || value === null) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype !== Object.prototype && prototype !== null) return false;
  return Object.hasOwn(value, 'data') || Object.hasOwn(value, 'dataList');
}

function sessionOf(service: Service<unknown, unknown>): WsxSession {
  const session = Service.contextOf(service)?.session;
  if (session) return session;
  throw new Fault(
    'bad-request',
    'The service was not called over a WebSocket: there is no current client to subscribe',
  );
}

function nameOfCall(service: Service<unknown, unknown>): string | undefined {
  return Service.contextOf(service)?.name;
}

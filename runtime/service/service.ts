import type { Redis } from 'ioredis';
import { Fault } from '../core/fault.ts';
import type { Logger } from '../log/logger.ts';
import type { HttpRequest, ReceivedMessage } from './call.ts';
import type { OutgoingCalls } from './ports.ts';
import {
  type InlinePublication,
  noData,
  type Publishing,
  type PublishMeta,
  type PublishResult,
  separate,
} from './publication.ts';
import type { PubSub } from './pubsub-api.ts';
import type { Wsx, WsxClients, WsxSession } from './wsx.ts';

/** What a service is asked. */
export interface ServiceRequest<Input = Record<string, unknown>> {
  /** Checked against the service's IO; as it came when the service declares none. */
  readonly input: Input;
  /**
   * The body's text from an HTTP channel (a Buffer for `raw`), the very value from `invoke`. Of a
   * message its data: an instance of the Model class, the value of JSON, a Buffer for bytes.
   */
  readonly rawRequest: unknown;
  /** Method, path, params, query, headers and user; undefined when the call did not come by HTTP. */
  readonly http: HttpRequest | undefined;
  /** Topic, id, publisher and so on; undefined when the call does not deliver a message. */
  readonly message: ReceivedMessage | undefined;
}

/** What a service answers. What `handle` returns wins over `payload`. */
export interface ServiceResponse<Output = unknown> {
  /** A value is filtered by the output IO and serialised; a string or Buffer goes out as it is. */
  payload: Output | string | Buffer | undefined;
  /** Default 200. */
  statusCode: number;
  headers: Record<string, string>;
  contentType: string | undefined;
}

/** One call's surroundings: what every getter of a service reads. */
export interface ServiceContext {
  readonly cid: string;
  readonly name: string;
  readonly logger: Logger;
  readonly request: ServiceRequest<unknown>;
  readonly response: ServiceResponse<unknown>;
  readonly signal: AbortSignal;
  readonly wsx: Wsx | undefined;
  readonly wsxClients: WsxClients;
  /** What `wsx` sends over. */
  readonly session: WsxSession | undefined;
  readonly pubsub: PubSub;
  invoke(service: string, input: unknown): Promise<unknown>;
  invokeAsync(service: string, input: unknown): Promise<string>;
  publish(publishing: Publishing): Promise<PublishResult>;
  outgoing(name: string): { readonly conn: OutgoingCalls };
  kvdb(): Redis;
}

/** Where a name of a service is wanted, its class serves as well. */
export type ServiceReference = string | (new () => Service<unknown, unknown>);

const brand = Symbol.for('hence.Service');
const names = new WeakMap<object, string>();

/**
 * A service: a class in `services/` with a `handle` method (or `handleGet`, `handlePost`, ...), and
 * optionally `accept`, `beforeHandle` and `afterHandle`. Each call gets an instance of its own.
 *
 * Statics: `serviceName` (default `<file>.<class>` in kebab-case), `io` ({@link ServiceIo}),
 * `timeout` (a duration such as `'10s'`; default none beyond the channel's).
 */
export abstract class Service<Input = Record<string, unknown>, Output = unknown> {
  static readonly serviceName?: string;

  #context: ServiceContext | undefined;

  /** Gives an instance its call. The runtime does this before the first hook. */
  static bind(service: Service<unknown, unknown>, context: ServiceContext): void {
    service.#context = context;
  }

  /** The call of an instance; undefined before it has one, and for one of another copy of this package. */
  static contextOf(service: Service<unknown, unknown>): ServiceContext | undefined {
    return #context in service ? service.#context : undefined;
  }

  /** True for a class that extends Service, of any copy of this package. */
  static isClass(value: unknown): value is new () => Service<unknown, unknown> {
    return value !== Service && typeof value === 'function' && brand in value;
  }

  /** Names a class as it was deployed, so that the class itself can be invoked. */
  static setName(ServiceClass: object, name: string): void {
    names.set(ServiceClass, name);
  }

  /** Correlation id: one per request or message journey, on every log line, call and message. */
  get cid(): string {
    return this.#bound.cid;
  }

  /** Adds the cid and the service's name to each line. */
  get logger(): Logger {
    return this.#bound.logger;
  }

  get request(): ServiceRequest<Input> {
    return this.#bound.request as ServiceRequest<Input>;
  }

  get response(): ServiceResponse<Output> {
    return this.#bound.response as ServiceResponse<Output>;
  }

  /** Aborted when the call's time is up or its caller went away. */
  get signal(): AbortSignal {
    return this.#bound.signal;
  }

  /** The WebSocket client that called; undefined when the call did not begin at a WebSocket channel. */
  get wsx(): Wsx | undefined {
    return this.#bound.wsx;
  }

  /** The WebSocket clients connected to this worker, whoever calls. */
  get wsxClients(): WsxClients {
    return this.#bound.wsxClients;
  }

  /** Named connections to other systems. */
  get outgoing(): {
    readonly plainHttp: { get(name: string): { readonly conn: OutgoingCalls } };
  } {
    const context = this.#bound;
    return { plainHttp: { get: (name) => context.outgoing(name) } };
  }

  /** The Redis the system runs on, for keys of your own: an ioredis client, without a key prefix. */
  get kvdb(): { readonly conn: Redis } {
    const context = this.#bound;
    return {
      get conn() {
        return context.kvdb();
      },
    };
  }

  /**
   * Calls another service and waits for its payload.
   * @throws Fault `not-found` for an unknown name, and whatever the other service throws.
   */
  invoke<T = unknown>(service: ServiceReference, input: unknown = {}): Promise<T> {
    return this.#bound.invoke(nameOf(service), input) as Promise<T>;
  }

  /**
   * Stores a call of another service and resolves with its id once it is stored. It runs at least
   * once: retried with back-off when it throws, then kept as a dead letter with the reason.
   */
  invokeAsync(service: ServiceReference, input: unknown = {}): Promise<string> {
    return this.#bound.invokeAsync(nameOf(service), input);
  }

  /**
   * Publishes a message and resolves once it is in the queue of every matching subscription, on disk
   * in the durable mode.
   *
   *     await this.publish('demo.1', { orderId: 12345, status: 'completed' });
   *     await this.publish('demo.1', order, { priority: 7, expiration: 3600 });
   *
   * @param target a topic; or a deployed service, by its name or class, which then gets the message
   * through a queue of its own, at least once
   * @param data any value that JSON holds, a Model, or bytes (Uint8Array); "" when it is not given
   * @throws Fault `bad-request` naming what is wrong with data, metadata or topic; `not-found` for a
   * class that is not deployed; `too-large`, `too-many` (a queue is full), `conflict` (the idempotency
   * key came with other data), `unavailable`. After `unavailable` with details `outcome: 'unknown'`
   * publish again with the same idempotency key.
   */
  publish(target: ServiceReference, data?: unknown, meta?: PublishMeta): Promise<PublishResult>;
  /** Without data, keys that are not metadata are the payload: Zato's keyword arguments. */
  publish(
    target: ServiceReference,
    data: undefined,
    fields: PublishMeta & Readonly<Record<string, unknown>>,
  ): Promise<PublishResult>;
  /**
   * The same in one object: `{ topic: 'demo.1', orderId: 123, priority: 7 }` publishes
   * `{ orderId: 123 }` with priority 7. A payload with a key of that name goes into `data`.
   */
  publish(inline: InlinePublication<ServiceReference>): Promise<PublishResult>;
  async publish(
    target: ServiceReference | InlinePublication<ServiceReference>,
    ...given: readonly [data?: unknown, meta?: PublishMeta]
  ): Promise<PublishResult> {
    return this.#bound.publish(publishingOf(target, given));
  }

  /** Publish/subscribe as Zato 3.x has it: topics such as `/zato/demo/sample`, endpoints, queues by key. */
  get pubsub(): PubSub {
    return this.#bound.pubsub;
  }

  get #bound(): ServiceContext {
    if (this.#context) return this.#context;
    throw new Error('A service has no call yet in its constructor: use beforeHandle or handle');
  }
}

Object.defineProperty(Service, brand, { value: true });

/** Of a class as it was deployed. */
export function nameOf(service: ServiceReference): string {
  if (typeof service === 'string') return service;
  return names.get(service) ?? service.name;
}

function publishingOf(
  first: ServiceReference | InlinePublication<ServiceReference>,
  given: readonly [data?: unknown, meta?: PublishMeta],
): Publishing {
  if (typeof first === 'object' && first !== null) {
    const { topic, ...fields } = first;
    if (!('data' in fields)) return sortedOut(topic, noData, fields);
    const { data: inlineData, ...rest } = fields;
    return sortedOut(topic, inlineData, rest);
  }
  const [data, meta = {}] = given;
  return sortedOut(first, given.length === 0 ? noData : data, meta);
}

function sortedOut(reference: unknown, data: unknown, bag: object): Publishing {
  const targetIsService = Service.isClass(reference);
  if (!targetIsService && (typeof reference !== 'string' || reference === '')) {
    throw new Fault('bad-request', 'publish wants a topic, the name of a service or its class');
  }
  const target = nameOf(reference);
  return { target, targetIsService, ...separate(target, data, { ...bag }) };
}

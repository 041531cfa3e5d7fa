import type { Redis } from 'ioredis';
import { newCid } from './core/cid.ts';
import { Fault } from './core/fault.ts';
import type { Facts, Level, Logger } from './log/logger.ts';
import type { Call, HttpRequest, ReceivedMessage, Reply } from './service/call.ts';
import { type DeliveredMessage, deliveredCall } from './service/delivered-call.ts';
import { decodeData, encodeData } from './service/message-data.ts';
import { Model, type ModelClass } from './service/model.ts';
import type { OutgoingCalls, OutgoingReply, OutgoingRequest, Ports } from './service/ports.ts';
import type { PublishResult, ServicePublication } from './service/publication.ts';
import type { PubSubPort } from './service/pubsub-ports.ts';
import { recordedPubSub } from './service/recorded-pubsub.ts';
import { Registry } from './service/registry.ts';
import { Service } from './service/service.ts';
import { isServiceClass, type ServiceClass, serviceName } from './service/service-class.ts';
import { ServiceVersion } from './service/version.ts';

/** One call that a service under test made over an outgoing connection. */
export interface SentRequest {
  readonly connection: string;
  readonly method: string;
  readonly data: unknown;
  readonly request: OutgoingRequest;
  readonly cid: string;
}

/** What a connection answers in a test; `json` becomes the text where no text is given. */
export interface StubReply {
  /** Default 200. */
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly text?: string;
  readonly json?: unknown;
}

export interface TestOptions {
  /** Other services, by the name it invokes them with: a class, or a function that answers. */
  readonly services?: Readonly<Record<string, ServiceClass | ((input: unknown) => unknown)>>;
  /** Answers by connection name: a reply, a function of the request, or a Fault to throw. */
  readonly outgoing?: Readonly<
    Record<string, StubReply | Fault | ((sent: SentRequest) => StubReply | Promise<StubReply>)>
  >;
  /** How publications end: a Fault to throw, or a function that may answer, or throw one. */
  readonly publish?: Fault | ((message: PublishedMessage) => Partial<PublishResult> | undefined);
  /**
   * What `this.pubsub` does beyond publishing, which is recorded: `getMessages` gives none, and
   * subscribing a key, unless these say otherwise.
   */
  readonly pubsub?: Partial<Omit<PubSubPort, 'publish'>>;
  /** What `this.kvdb.conn` is: an ioredis client, or an object with the commands that are used. */
  readonly kvdb?: object;
}

export interface TestCall {
  readonly input?: unknown;
  readonly rawRequest?: unknown;
  readonly http?: Partial<HttpRequest>;
  readonly cid?: string;
  readonly timeoutMs?: number;
}

export interface LoggedLine extends Facts {
  readonly level: Level;
  readonly message: string;
}

/** One message that a service under test published. */
export interface PublishedMessage extends Omit<ServicePublication, 'target' | 'data'> {
  /** The topic or service, as it was given. */
  readonly topic: string;
  /** As a subscribing service gets it: an instance of the Model class, the value of JSON, bytes. */
  readonly data: unknown;
  readonly msgId: string;
}

export interface InvokedService {
  readonly service: string;
  readonly input: unknown;
  readonly async: boolean;
}

/** A service under test, run as the runtime runs it: IO, hooks, timeout and output filter included. */
export interface ServiceTest {
  /** @throws what the service throws; a Fault for input its IO refuses. */
  call(call?: TestCall): Promise<Reply>;
  /** The payload alone. */
  invoke<T = unknown>(input?: unknown): Promise<T>;
  /** Delivers a message with this data, as the runtime delivers it to a subscribing service. */
  deliver(data: unknown, message?: Partial<ReceivedMessage>): Promise<Reply>;
  readonly sent: readonly SentRequest[];
  /** Messages it published, in order. */
  readonly published: readonly PublishedMessage[];
  /** Calls it made of other services, in order. */
  readonly invoked: readonly InvokedService[];
  readonly logs: readonly LoggedLine[];
}

/**
 * Makes a service ready to be tested without a server, a Redis or a network.
 *
 *     const service = testService(SendMessage, { outgoing: { pushover: { json: { status: 1 } } } });
 *     expect(await service.invoke({ user: 'sean', message: 'hi' })).to.deep.equal({ status: 1 });
 */
export function testService(Tested: ServiceClass, options: TestOptions = {}): ServiceTest {
  const sent: SentRequest[] = [];
  const invoked: InvokedService[] = [];
  const logs: LoggedLine[] = [];
  const published: PublishedMessage[] = [];
  const models = new SeenModels();
  const publish = publishing(options, published, models);
  const ports = {
    ...portsOf(options, sent, invoked, logs),
    publish,
    pubsub: recordedPubSub(async (publication) => {
      await publish(publication);
      return published.length;
    }, options.pubsub),
    modelName: models.name,
  };
  const registry = new RecordingRegistry(ports, invoked);
  const tested = serviceName('test', Tested);
  registry.add(tested, Tested);
  for (const [name, other] of Object.entries(options.services ?? {})) {
    registry.add(name, isServiceClass(other) ? other : answering(other));
  }
  const call = (given: TestCall = {}): Promise<Reply> =>
    registry.invoke({
      cid: given.cid ?? newCid(),
      service: tested,
      input: given.input ?? {},
      rawRequest: given.rawRequest ?? given.input,
      ...(given.http ? { http: httpRequest(given.http) } : {}),
      ...(given.timeoutMs === undefined ? {} : { timeoutMs: given.timeoutMs }),
    });
  return {
    call,
    invoke: async <T>(input: unknown = {}) => (await call({ input })).payload as T,
    deliver: async (data, message) =>
      registry.invoke(deliveredCall(tested, deliveryOf(data, message, models), models)),
    sent,
    published,
    invoked,
    logs,
  };
}

class RecordingRegistry extends Registry {
  readonly #invoked: InvokedService[];

  constructor(ports: Ports, invoked: InvokedService[]) {
    super(ports);
    this.#invoked = invoked;
  }

  add(name: string, Added: ServiceClass): void {
    const about = { name, file: name, path: name, version: 1, hash: 'test', dispose: () => {} };
    this.replace(name, [new ServiceVersion({ ...about, ServiceClass: Added })]);
  }

  override invoke(call: Call): Promise<Reply> {
    if (call.chain) this.#invoked.push({ service: call.service, input: call.input, async: false });
    return super.invoke(call);
  }
}

function portsOf(
  options: TestOptions,
  sent: SentRequest[],
  invoked: InvokedService[],
  logs: LoggedLine[],
): Omit<Ports, 'publish' | 'pubsub'> {
  return {
    log: recorder(logs, {}),
    outgoing: (name) => ({ conn: stubConnection(name, options, sent) }),
    kvdb() {
      if (options.kvdb) return options.kvdb as Redis;
      throw new Error('The service uses this.kvdb.conn: give testService a `kvdb`');
    },
    async invokeAsync(service, input) {
      invoked.push({ service, input, async: true });
      return `test-${invoked.length}`;
    },
  };
}

/** Model classes by their plain names: here no loader gives them any. */
class SeenModels {
  readonly #classes = new Map<string, ModelClass>();

  readonly name = (Class: object): string => {
    const { name } = Class as ModelClass;
    this.#classes.set(name, Class as ModelClass);
    return name;
  };

  readonly revive = (name: string, value: unknown): unknown => {
    const Class = this.#classes.get(name);
    return Class ? Model.fromDict.call(Class, value) : value;
  };
}

function publishing(
  { publish }: TestOptions,
  published: PublishedMessage[],
  models: SeenModels,
): Ports['publish'] {
  return async ({ target, ...publication }) => {
    if (Fault.is(publish)) throw publish;
    const msgId = `zpsm.test-${published.length + 1}`;
    const data = decodeData(publication, `Message ${msgId}`, models.revive);
    const message = { ...publication, topic: target, data, msgId };
    const answer = publish?.(message);
    published.push(message);
    return { msgId, queues: 1, duplicate: false, ...answer };
  };
}

function deliveryOf(
  data: unknown,
  given: Partial<ReceivedMessage> = {},
  models: SeenModels,
): DeliveredMessage {
  const { deliveryCount = 1, subKey = 'test', ...message } = given;
  const encoded = encodeData(data, 'a test', models.name);
  const receivedAt = Date.now();
  return {
    subKey,
    deliveries: deliveryCount,
    message: {
      msgId: 'zpsm.test',
      topic: 'test',
      priority: 5,
      cid: newCid(),
      hops: 0,
      receivedAt,
      expiresAt: receivedAt + 86_400_000,
      ...message,
      ...encoded,
      data: Buffer.from(encoded.data),
    },
  };
}

/** A service that answers with a function, for `services` of a test. */
function answering(answer: (input: unknown) => unknown): ServiceClass {
  return class Answering extends Service {
    handle(): unknown {
      return answer(this.request.input);
    }
  };
}

function recorder(logs: LoggedLine[], bound: Facts): Logger {
  const write = (level: Level) => (message: string, facts?: Facts) => {
    logs.push({ ...bound, ...facts, level, message });
  };
  return {
    debug: write('debug'),
    info: write('info'),
    warn: write('warn'),
    error: write('error'),
    child: (facts) => recorder(logs, { ...bound, ...facts }),
    debugging: true,
  };
}

function stubConnection(
  connection: string,
  { outgoing = {} }: TestOptions,
  sent: SentRequest[],
): OutgoingCalls {
  const stub = Object.hasOwn(outgoing, connection) ? outgoing[connection] : undefined;
  if (!stub) throw new Fault('not-found', `No such outgoing connection: ${connection}`);
  const call = async (
    method: string,
    cid: string,
    data: unknown,
    request: OutgoingRequest = {},
  ): Promise<OutgoingReply> => {
    const sending = { connection, method, data, request, cid };
    sent.push(sending);
    if (Fault.is(stub)) throw stub;
    return replyOf(connection, typeof stub === 'function' ? await stub(sending) : stub);
  };
  return {
    send: (cid, data, request) => call('SEND', cid, data, request),
    get: (cid, request) => call('GET', cid, undefined, request),
    post: (cid, data, request) => call('POST', cid, data, request),
    put: (cid, data, request) => call('PUT', cid, data, request),
    patch: (cid, data, request) => call('PATCH', cid, data, request),
    delete: (cid, request) => call('DELETE', cid, undefined, request),
    ping: async (cid) => {
      const { status, ok } = await call('PING', cid, undefined);
      return { connection, url: `test://${connection}`, ok, status, ms: 0 };
    },
  };
}

function replyOf(connection: string, stub: StubReply): OutgoingReply {
  const text = stub.text ?? (stub.json === undefined ? '' : JSON.stringify(stub.json));
  const status = stub.status ?? 200;
  const json = <T>(): T => {
    try {
      return JSON.parse(text) as T;
    } catch (cause) {
      throw new Fault('unavailable', `Outgoing ${connection}: the reply is not JSON`, { cause });
    }
  };
  return {
    status,
    ok: status >= 200 && status < 300,
    headers: stub.headers ?? {},
    text,
    data: stub.json ?? text,
    json,
  };
}

function httpRequest(given: Partial<HttpRequest>): HttpRequest {
  return { method: 'POST', path: '/', params: {}, query: {}, headers: {}, ...given };
}

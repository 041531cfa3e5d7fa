import { randomBytes } from 'node:crypto';
import { Fault } from '../../runtime/core/fault.ts';
import { EndpointBroker } from '../../runtime/pubsub/endpoint-broker.ts';
import type { EndpointSpec } from '../../runtime/pubsub/endpoint-definition.ts';
import { Endpoints } from '../../runtime/pubsub/endpoints.ts';
import type { Limits } from '../../runtime/pubsub/limits.ts';
import type { TopicRules } from '../../runtime/pubsub/topic-definition.ts';
import { Zato3PubSub } from '../../runtime/pubsub/zato3-pubsub.ts';
import type { Call } from '../../runtime/service/call.ts';
import type { Ports } from '../../runtime/service/ports.ts';
import { Registry } from '../../runtime/service/registry.ts';
import { Service } from '../../runtime/service/service.ts';
import type { ServiceClass } from '../../runtime/service/service-class.ts';
import { ServicePublisher } from '../../runtime/service/service-publisher.ts';
import { ServiceVersion } from '../../runtime/service/version.ts';
import { MadeRoutes, openBroker, type TestBroker } from './broker.ts';
import { type CollectingLog, collectingLog } from './collecting-log.ts';
import type { TestRedis } from './redis.ts';

export const endpointSpec = (spec: Partial<EndpointSpec>): EndpointSpec => ({
  role: 'pub-sub',
  publish: [],
  subscribe: [],
  ...spec,
});

export interface PartiesOptions {
  readonly endpoints?: Readonly<Record<string, Partial<EndpointSpec>>>;
  readonly topics?: Readonly<Record<string, TopicRules>>;
  readonly services?: Readonly<Record<string, ServiceClass>>;
  readonly ports?: Partial<Ports>;
  readonly limits?: Partial<Limits>;
}

/** Services, endpoints and topics around a real broker. */
export interface Parties {
  readonly broker: TestBroker;
  readonly routes: MadeRoutes;
  readonly endpoints: Endpoints;
  readonly endpointBroker: EndpointBroker;
  readonly pubsub: Zato3PubSub;
  readonly registry: Registry;
  readonly topics: Map<string, TopicRules>;
  readonly log: CollectingLog;
  define(endpoints: Readonly<Record<string, Partial<EndpointSpec>>>): void;
  deploy(services: Readonly<Record<string, ServiceClass>>): void;
  /** Runs a service of the test's own. */
  run<T>(work: (service: Service) => T | Promise<T>, more?: Partial<Call>): Promise<T>;
  /** Another process on the same Redis. */
  other(): Promise<Parties>;
  close(): void;
}

export async function gather(
  redis: Pick<TestRedis, 'path'>,
  options: PartiesOptions = {},
  namespace = `t${randomBytes(6).toString('hex')}`,
): Promise<Parties> {
  const routes = new MadeRoutes();
  const endpoints = new Endpoints();
  const broker = await openBroker(redis.path, {
    namespace,
    source: routes,
    limits: options.limits ?? {},
    mayReceive: (subKey, topic) => endpoints.mayReceive(routes.routes.get(subKey)?.facts, topic),
  });
  const topics = new Map(Object.entries(options.topics ?? {}));
  const endpointBroker = new EndpointBroker({
    broker: broker.broker,
    endpoints,
    topic: (name) => topics.get(name),
    routes: () => routes.routes,
  });
  const log = collectingLog();
  const publisher = new ServicePublisher({
    broker: broker.broker,
    isTopic: () => false,
    isService: (name) => registry.get(name) !== undefined,
    topic: (name) => ({ topic: name.toLowerCase() }),
  });
  const pubsub = new Zato3PubSub({
    broker: broker.broker,
    endpoints: endpointBroker,
    services: {
      has: (name) => registry.get(name) !== undefined,
      publish: (publication) => publisher.publish(publication),
    },
    createTopic: async (name, spec) => {
      if (topics.has(name)) throw new Fault('conflict', `topic ${name} exists`);
      topics.set(name, spec);
    },
    serverName: 'server1',
  });
  const registry = new Registry({
    log,
    outgoing: (name) => {
      throw new Fault('not-found', `No such outgoing connection: ${name}`);
    },
    kvdb: () => {
      throw new Error('not here');
    },
    invokeAsync: async () => 'id-1',
    publish: (publication) => publisher.publish(publication),
    pubsub,
    ...options.ports,
  });
  class Run extends Service<(service: Service) => unknown> {
    handle(): unknown {
      return this.request.input(this as unknown as Service);
    }
  }
  const define: Parties['define'] = (definitions) =>
    endpoints.update(
      Object.entries(definitions).map(([name, spec]) => ({ name, spec: endpointSpec(spec) })),
    );
  const deploy: Parties['deploy'] = (services) => {
    for (const [name, ServiceClassOf] of Object.entries(services)) {
      const about = { name, file: name, path: name, version: 1, hash: 'h', dispose: () => {} };
      registry.replace(name, [new ServiceVersion({ ...about, ServiceClass: ServiceClassOf })]);
    }
  };
  define(options.endpoints ?? {});
  deploy({ 'test.run': Run, ...options.services });
  return {
    broker,
    routes,
    endpoints,
    endpointBroker,
    pubsub,
    registry,
    topics,
    log,
    define,
    deploy,
    run: async <T>(work: (service: Service) => T | Promise<T>, more: Partial<Call> = {}) => {
      const call = { cid: 'c1', service: 'test.run', input: work, rawRequest: undefined, ...more };
      return (await registry.invoke(call)).payload as T;
    },
    other: () => gather(redis, options, namespace),
    close: () => broker.close(),
  };
}

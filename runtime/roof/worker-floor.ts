import type { Server } from 'node:http';
import { join } from 'node:path';
import type { Redis } from 'ioredis';
import { isHttpChannel, isWebSocketChannel } from '../../channels/channel-type.ts';
import { ChannelServer } from '../../channels/http/channel-server.ts';
import { createHttpServer } from '../../channels/http/http-server.ts';
import { WebSocketServer } from '../../channels/websocket/websocket-server.ts';
import type { ConnectionOptions } from '../../outgoing/http/connection.ts';
import { OutgoingConnections } from '../../outgoing/http/connections.ts';
import { DefinitionStore } from '../config/store.ts';
import { background } from '../core/background.ts';
import { newCid } from '../core/cid.ts';
import { withDeadline } from '../core/deadline.ts';
import { Fault } from '../core/fault.ts';
import { Loader } from '../deploy/loader.ts';
import { installSourceMaps } from '../deploy/source-maps.ts';
import * as hence from '../index.ts';
import type { InvocationQueue } from '../invocation/invocation-queue.ts';
import type { InvocationRunner } from '../invocation/invocation-runner.ts';
import { Journey } from '../journey/journey.ts';
import { observeCalls, observeOutgoing } from '../journey/observe-calls.ts';
import { Kvdb } from '../kvdb/kvdb.ts';
import type { Logger } from '../log/logger.ts';
import type { Redactor } from '../log/redact.ts';
import { connectRedis, type RedisRole } from '../redis/connection.ts';
import type { ScheduleRunner } from '../schedule/schedule-runner.ts';
import { Authenticator } from '../security/authenticator.ts';
import { PasswordHasher } from '../security/password.ts';
import { Sealer } from '../security/sealer.ts';
import type { Call, Reply } from '../service/call.ts';
import type { Ports } from '../service/ports.ts';
import { Registry } from '../service/registry.ts';
import * as testing from '../testing.ts';
import { type DefinitionTypes, definitionTypes } from './definition-types.ts';
import { learnSecrets } from './known-secrets.ts';
import type { WorkerSetup } from './protocol.ts';
import { WorkerMessages } from './worker-messages.ts';

/** What a worker's parts need of the process around them. */
export interface WorkerHost {
  /** Its number, for people. */
  readonly worker: number;
  readonly log: Logger;
  /** What `${env:NAME}` in a definition means. */
  readonly env: NonNullable<ConnectionOptions['env']>;
  readonly mark: (path: string | undefined) => void;
  readonly acquireSocket: NonNullable<ConnectionOptions['acquireSocket']>;
  readonly onNotice: NonNullable<ConnectionOptions['onNotice']>;
  /** Of `log`; it learns the secrets of every connection. */
  readonly redactor: Redactor;
}

/** Every part of a worker, built and wired. */
export class WorkerFloor {
  readonly registry: Registry;
  readonly loader: Loader;
  readonly outgoing: OutgoingConnections;
  readonly channels: ChannelServer;
  readonly #setup: WorkerSetup;
  readonly #host: WorkerHost;
  readonly #sealer: Sealer;
  readonly #types: DefinitionTypes;
  readonly #store: DefinitionStore;
  readonly #authenticator: Authenticator;
  readonly #kvdb: Kvdb;
  readonly #journey: Journey;
  /** Calls a service, and notes it where the call belongs to a journey. */
  readonly invoke: (call: Call) => Promise<Reply>;
  readonly #connections: Redis[] = [];
  #messages: WorkerMessages | undefined;
  #webSockets: WebSocketServer | undefined;
  #queue: Promise<InvocationQueue> | undefined;
  #runner: Promise<InvocationRunner> | undefined;
  #ticker: Promise<ScheduleRunner> | undefined;

  static async build(setup: WorkerSetup, host: WorkerHost): Promise<WorkerFloor> {
    const sealer = await Sealer.fromFile(join(setup.dataDir, 'key'));
    const floor = new WorkerFloor(setup, host, sealer);
    installSourceMaps(floor.loader.sourceMaps);
    await floor.#store.start();
    floor.#messages = floor.#openMessages();
    floor.#webSockets = floor.#openWebSockets(floor.#messages);
    floor.#rewire(['channel', 'outgoing', 'security']);
    floor.#store.onChange((changes) => {
      floor.#rewire([...new Set(changes.map(({ type }) => type))]);
    });
    return floor;
  }

  private constructor(setup: WorkerSetup, host: WorkerHost, sealer: Sealer) {
    const { log } = host;
    this.#setup = setup;
    this.#host = host;
    this.#sealer = sealer;
    const hasher = new PasswordHasher();
    this.#types = definitionTypes({ hasher, sealer });
    this.#store = new DefinitionStore({
      redis: this.#connect('command'),
      subscriber: () => connectRedis(setup.redis, 'subscriber', this.#onRedisError),
      types: Object.values(this.#types),
      log,
    });
    this.#authenticator = new Authenticator(hasher);
    this.#kvdb = new Kvdb(() => connectRedis(setup.redis, 'user', this.#onRedisError));
    this.outgoing = new OutgoingConnections({
      sealer,
      log,
      standinUrl: (name) => setup.standins[name],
      env: host.env,
      acquireSocket: host.acquireSocket,
      workers: setup.workers,
      onNotice: host.onNotice,
    });
    this.#journey = new Journey({
      redis: this.#connect('command'),
      place: `worker ${host.worker}`,
      redact: (text) => host.redactor.text(text),
      subscriptionsOf: (topic) => this.#subscriptionsOf(topic),
    });
    this.registry = new Registry(this.#ports(), (invoke) => this.#observed('invoke', invoke));
    this.invoke = this.#observed('invoke', (call) => this.registry.invoke(call));
    this.loader = new Loader({
      registry: this.registry,
      log,
      host: { hence, 'hence/testing': testing },
      mark: host.mark,
      servicesFolder: setup.servicesFolder,
    });
    this.channels = new ChannelServer({
      invoke: this.#observed('channel', (call) => this.registry.invoke(call)),
      authenticator: this.#authenticator,
      log,
      fallback: (req, res) => this.webSockets.handle(req, res) || this.#ready.handle(req, res),
    });
  }

  get webSockets(): WebSocketServer {
    if (this.#webSockets) return this.#webSockets;
    throw new Fault('unavailable', 'The worker is not set up yet');
  }

  /** A server for the channels; it is not listening yet. */
  createServer(): Server {
    const server = createHttpServer(this.channels.handle);
    this.webSockets.attach(server);
    return server;
  }

  /** Begins to run stored calls and schedules, and to deliver messages. */
  work(): void {
    this.#runner ??= this.#startRunner();
    background(this.#runner, (error) => {
      this.#host.log.error('stored calls do not run here', { error });
    });
    this.#ticker ??= this.#startTicker();
    background(this.#ticker, (error) => {
      this.#host.log.error('schedules do not run here', { error });
    });
    this.#ready.deliver();
  }

  /** Takes no more of such work, and finishes what runs. */
  async stopWork(graceMs: number): Promise<void> {
    const [runner, ticker] = await Promise.all([
      this.#runner?.catch(() => undefined),
      this.#ticker?.catch(() => undefined),
    ]);
    await Promise.all([
      runner?.stop(graceMs),
      ticker?.stop(graceMs),
      this.#messages?.stopDelivering(graceMs),
      this.#messages?.drain(),
    ]);
  }

  async close(): Promise<void> {
    await this.#journey.close();
    await Promise.all([
      this.outgoing.close(),
      this.#messages?.close(),
      withDeadline(this.#store.stop(), 1_000, () => new Error('late')).catch(() => {}),
      this.#kvdb.close(),
      this.loader.stop(),
    ]);
    for (const redis of this.#connections) redis.disconnect();
  }

  #ports(): Ports {
    // The parts behind these are built later than the registry.
    const pubsub = () => this.#ready.pubsub;
    const wsx = () => this.webSockets.clients;
    const wsxPubsub = () => this.#ready.wsxPubSub;
    return {
      get wsxPubsub() {
        return wsxPubsub();
      },
      get pubsub() {
        return pubsub();
      },
      get wsx() {
        return wsx();
      },
      log: this.#host.log,
      outgoing: observeOutgoing((name) => this.outgoing.get(name), this.#journey),
      kvdb: () => this.#kvdb.conn,
      invokeAsync: async (service, input, cid, hops) =>
        (await this.#stored()).add({
          service,
          input,
          cid,
          ...(hops === undefined ? {} : { hops }),
        }),
      publish: (publication) => this.#ready.publisher.publish(publication),
    };
  }

  #observed(kind: 'channel' | 'invoke', invoke: (call: Call) => Promise<Reply>) {
    const versionOf = (service: string) => this.registry.get(service)?.version;
    return observeCalls(invoke, this.#journey, { kind, versionOf });
  }

  #rewire(types: readonly string[]): void {
    const { channel, outgoing, security } = this.#types;
    if (types.includes('security')) this.#authenticator.update(this.#store.list(security));
    if (types.includes('outgoing')) this.#rewireOutgoing(this.#store.list(outgoing));
    if (!types.includes('channel')) return;
    const channels = this.#store.list(channel);
    this.channels.update(channels.filter(isHttpChannel));
    this.webSockets.update(channels.filter(isWebSocketChannel));
  }

  #rewireOutgoing(definitions: Parameters<OutgoingConnections['update']>[0]): void {
    const { redactor, env } = this.#host;
    learnSecrets(redactor, definitions, { sealer: this.#sealer, env });
    this.outgoing.update(definitions);
  }

  // BullMQ takes a tenth of a second to import: not before the first request is served.
  #stored(): Promise<InvocationQueue> {
    this.#queue ??= import('../invocation/invocation-queue.ts').then(
      (module) => new module.InvocationQueue(this.#connect('command')),
    );
    return this.#queue;
  }

  async #startRunner(): Promise<InvocationRunner> {
    const module = await import('../invocation/invocation-runner.ts');
    const runner = new module.InvocationRunner({
      redis: this.#connect('worker'),
      run: ({ service, input, cid, hops }) => {
        const call = { cid: cid || newCid(), service, input, rawRequest: input };
        return this.invoke(hops === undefined ? call : { ...call, hops });
      },
      log: this.#host.log,
    });
    runner.start();
    return runner;
  }

  async #startTicker(): Promise<ScheduleRunner> {
    const module = await import('../schedule/schedule-runner.ts');
    const runner = new module.ScheduleRunner({
      redis: this.#connect('worker'),
      commands: this.#connect('command'),
      run: ({ service, input, cid, timeoutMs }) =>
        this.invoke({ cid, service, input, rawRequest: input, timeoutMs }),
      versionOf: (service) => this.registry.get(service)?.version,
      log: this.#host.log,
    });
    runner.start();
    return runner;
  }

  #openMessages(): WorkerMessages {
    return new WorkerMessages({
      store: this.#store,
      types: this.#types,
      connect: (role) => this.#connect(role),
      registry: this.registry,
      invoke: this.invoke,
      loader: this.loader,
      outgoing: this.outgoing,
      authenticator: this.#authenticator,
      journey: this.#journey,
      restSubscribe: this.#setup.restSubscribe,
      log: this.#host.log,
    });
  }

  #openWebSockets({ wsxPubSub }: WorkerMessages): WebSocketServer {
    return new WebSocketServer({
      invoke: this.#observed('channel', (call) => this.registry.invoke(call)),
      authenticator: this.#authenticator,
      gatewayServices: wsxPubSub.gatewayServices,
      hooks: { answered: (session, response) => wsxPubSub.answered(session, response) },
      log: this.#host.log,
    });
  }

  #subscriptionsOf(topic: string): readonly string[] {
    const routes = this.#messages?.messaging.routes.match(topic) ?? [];
    return routes.map(({ subKey, definition }) => definition?.name ?? subKey);
  }

  get #ready(): WorkerMessages {
    if (this.#messages) return this.#messages;
    throw new Fault('unavailable', 'The worker is not set up yet');
  }

  #connect(role: RedisRole): Redis {
    const redis = connectRedis(this.#setup.redis, role, this.#onRedisError);
    this.#connections.push(redis);
    return redis;
  }

  readonly #onRedisError = (error: Error): void => {
    this.#host.log.debug('redis connection', { error: error.message });
  };
}

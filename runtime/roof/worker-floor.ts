import type { Server } from 'node:http';
import { join } from 'node:path';
import type { Redis } from 'ioredis';
import { ChannelServer } from '../../channels/http/channel-server.ts';
import { createHttpServer } from '../../channels/http/http-server.ts';
import type { ConnectionOptions } from '../../outgoing/http/connection.ts';
import { OutgoingConnections } from '../../outgoing/http/connections.ts';
import { DefinitionStore } from '../config/store.ts';
import { newCid } from '../core/cid.ts';
import { withDeadline } from '../core/deadline.ts';
import { Loader } from '../deploy/loader.ts';
import { installSourceMaps } from '../deploy/source-maps.ts';
import * as hence from '../index.ts';
import type { InvocationQueue } from '../invocation/invocation-queue.ts';
import type { InvocationRunner } from '../invocation/invocation-runner.ts';
import { Kvdb } from '../kvdb/kvdb.ts';
import type { Logger } from '../log/logger.ts';
import type { Redactor } from '../log/redact.ts';
import { connectRedis, type RedisRole } from '../redis/connection.ts';
import { Authenticator } from '../security/authenticator.ts';
import { PasswordHasher } from '../security/password.ts';
import { Sealer } from '../security/sealer.ts';
import { Registry } from '../service/registry.ts';
import * as testing from '../testing.ts';
import { type DefinitionTypes, definitionTypes } from './definition-types.ts';
import { learnSecrets } from './known-secrets.ts';
import type { WorkerSetup } from './protocol.ts';

/** What a worker's parts need of the process around them. */
export interface WorkerHost {
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
  readonly #connections: Redis[] = [];
  #queue: Promise<InvocationQueue> | undefined;
  #runner: Promise<InvocationRunner> | undefined;

  static async build(setup: WorkerSetup, host: WorkerHost): Promise<WorkerFloor> {
    const sealer = await Sealer.fromFile(join(setup.dataDir, 'key'));
    const floor = new WorkerFloor(setup, host, sealer);
    installSourceMaps(floor.loader.sourceMaps);
    await floor.#store.start();
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
    this.registry = new Registry({
      log,
      outgoing: (name) => this.outgoing.get(name),
      kvdb: () => this.#kvdb.conn,
      invokeAsync: async (service, input, cid) =>
        (await this.#stored()).add({ service, input, cid }),
    });
    this.loader = new Loader({
      registry: this.registry,
      log,
      host: { hence, 'hence/testing': testing },
      mark: host.mark,
      servicesFolder: setup.servicesFolder,
    });
    this.channels = new ChannelServer({
      invoke: (call) => this.registry.invoke(call),
      authenticator: this.#authenticator,
      log,
    });
  }

  /** A server for the channels; it is not listening yet. */
  createServer(): Server {
    return createHttpServer(this.channels.handle);
  }

  /** Begins to run stored calls. */
  runStoredCalls(): void {
    this.#runner ??= this.#startRunner();
    this.#runner.catch((error: unknown) => {
      this.#host.log.error('stored calls do not run here', { error });
    });
  }

  /** Takes no more stored calls, and finishes those that run. */
  async stopStoredCalls(graceMs: number): Promise<void> {
    const runner = await this.#runner?.catch(() => undefined);
    await runner?.stop(graceMs);
  }

  async close(): Promise<void> {
    await Promise.all([
      this.outgoing.close(),
      withDeadline(this.#store.stop(), 1_000, () => new Error('late')).catch(() => {}),
      this.#kvdb.close(),
      this.loader.stop(),
    ]);
    for (const redis of this.#connections) redis.disconnect();
  }

  #rewire(types: readonly string[]): void {
    const { channel, outgoing, security } = this.#types;
    if (types.includes('security')) this.#authenticator.update(this.#store.list(security));
    if (types.includes('outgoing')) this.#rewireOutgoing(this.#store.list(outgoing));
    if (types.includes('channel')) this.channels.update(this.#store.list(channel));
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
      run: ({ service, input, cid }) =>
        this.registry.invoke({ cid: cid || newCid(), service, input, rawRequest: input }),
      log: this.#host.log,
    });
    runner.start();
    return runner;
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

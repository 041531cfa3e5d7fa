import { mkdirSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import process from 'node:process';
import { AdminServer } from '../../channels/admin/admin-server.ts';
import { Admin } from '../admin/admin.ts';
import type { Readiness, Status } from '../admin/api.ts';
import { applyConfig } from '../config/apply.ts';
import { DefinitionStore } from '../config/store.ts';
import { background } from '../core/background.ts';
import { Fault } from '../core/fault.ts';
import { Deployer } from '../deploy/deployer.ts';
import type { InvocationQueue } from '../invocation/invocation-queue.ts';
import { Kvdb } from '../kvdb/kvdb.ts';
import { Log } from '../log/log.ts';
import { LogHub } from '../log/log-hub.ts';
import { Redactor } from '../log/redact.ts';
import { type BoundPort, bindPort } from '../process/port.ts';
import { connectRedis } from '../redis/connection.ts';
import { PasswordHasher } from '../security/password.ts';
import { Sealer } from '../security/sealer.ts';
import { adminPorts } from './admin-desk.ts';
import { Banner } from './banner.ts';
import { definitionTypes } from './definition-types.ts';
import { DeployFleet } from './deploy-fleet.ts';
import { RedisHome } from './redis-home.ts';
import type { Environment, Settings } from './settings.ts';
import { Standins } from './standins.ts';
import { version } from './version.ts';
import { WorkerStaff } from './worker-staff.ts';

const sameKeyMs = 300;

/** The control process: everything but user code, built, started and stopped in order. */
export class ControlRoom {
  readonly #settings: Settings;
  readonly #env: Environment;
  readonly #hub: LogHub;
  readonly #log: Log;
  readonly #redis: RedisHome;
  readonly #kvdb: Kvdb;
  readonly #standins = new Standins();
  readonly #staff: WorkerStaff;
  readonly #fleet: DeployFleet;
  readonly #deployer: Deployer;
  readonly #startedAt = Date.now();
  readonly #banner: Banner;
  #definitions: DefinitionStore | undefined;
  #admin: AdminServer | undefined;
  #port: BoundPort | undefined;
  #stored: Promise<InvocationQueue> | undefined;
  #deployed = false;
  #stopping: Promise<void> | undefined;
  #signalledAt = 0;
  #onEnd: (code: number) => void = () => {};

  constructor(settings: Settings, env: Environment) {
    this.#settings = settings;
    this.#env = env;
    mkdirSync(settings.dataDir, { recursive: true, mode: 0o700 });
    this.#hub = new LogHub({
      format: settings.logFormat,
      out: process.stdout,
      colour: process.stdout.isTTY === true && !env['NO_COLOR'],
    });
    this.#log = Log.open({
      level: settings.logLevel,
      stream: this.#hub.input(),
      redactor: new Redactor(),
    });
    this.#banner = new Banner(settings.logFormat === 'pretty' ? process.stdout : undefined);
    this.#redis = new RedisHome(settings, env, this.#log);
    this.#kvdb = new Kvdb(() => connectRedis(this.#redis.target, 'user', () => {}));
    this.#staff = new WorkerStaff({
      settings,
      env,
      hub: this.#hub,
      log: this.#log,
      port: () => this.#bound,
      setup: async () => ({
        redis: this.#redis.target,
        servicesFolder: relative(settings.projectDir, settings.servicesDir),
        dataDir: settings.dataDir,
        standins: this.#standins.urls(),
      }),
      join: (worker) => this.#fleet.join(worker),
    });
    this.#fleet = new DeployFleet({
      standby: () => this.#staff.standby(),
      start: async () => {
        const worker = this.#staff.pool.spawn();
        await this.#staff.setUp(worker);
        return worker;
      },
      live: () => this.#deployer.bootTransactions(),
      markOf: (worker) => this.#staff.markOf(worker),
      log: this.#log,
      loadMs: settings.loadMs,
    });
    this.#deployer = new Deployer({
      servicesDir: settings.servicesDir,
      projectDir: settings.projectDir,
      cacheDir: join(settings.dataDir, 'cache'),
      fleet: this.#fleet,
      log: this.#log,
      ...(settings.pollMs === undefined ? {} : { watch: 'poll', sweepMs: settings.pollMs }),
    });
  }

  /** Called once, with the exit code, when it has stopped. */
  onEnd(listener: (code: number) => void): void {
    this.#onEnd = listener;
  }

  /** The first asks for a clean stop, the second ends everything now. */
  signal(): void {
    if (!this.#stopping) {
      this.#signalledAt = Date.now();
      this.#banner.say('stopping: finishing what is in flight; once more to stop now');
      background(this.stop(), (error) => this.#log.error('stop', { error }));
      return;
    }
    // One Ctrl-C comes twice: from the terminal, and passed on by npm.
    if (Date.now() - this.#signalledAt < sameKeyMs) return;
    this.#staff.pool.kill();
    background(
      this.#redis.stop().finally(() => process.exit(130)),
      () => {},
    );
  }

  async start(): Promise<void> {
    const { host, port, adminPort } = this.#settings;
    this.#banner.title(version());
    // The first worker imports its modules while Redis starts.
    const first = this.#staff.pool.spawn();
    const sealing = Sealer.fromFile(join(this.#settings.dataDir, 'key'));
    await Promise.all([
      this.#redis.start(),
      this.#standins.start(),
      this.#deployer.start(),
      bindPort(host, port).then((bound) => {
        this.#port = bound;
      }),
    ]);
    this.#definitions = this.#openDefinitions(await sealing);
    this.#admin = this.#openAdmin(this.#definitions);
    await this.#admin.start({ host: '127.0.0.1', ...adminPort });
    this.#banner.redis(this.#redis, this.#settings.dataDir);
    await this.#loadDefinitions(this.#definitions);
    await this.#staff.setUp(first);
    await this.#fleet.join(first);
    this.#banner.services(await this.#deployer.load(), this.#settings.servicesDir);
    for (const worker of this.#fleet.members()) await this.#staff.pool.adopt(worker);
    this.#deployed = true;
    this.#banner.ready({
      channelsUrl: this.#channelsUrl,
      adminUrl: this.#adminUrl,
      movedFrom: this.#bound.port === port.port || port.port === 0 ? undefined : port.port,
    });
    background(this.#staff.pool.fill(), (error) => this.#log.error('workers', { error }));
  }

  /** Nothing new comes in, what is in flight finishes, Redis ends last. */
  stop(): Promise<void> {
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  async #stop(): Promise<void> {
    await this.#deployer.stop();
    await this.#staff.pool.drain(this.#settings.graceMs);
    this.#port?.close();
    await this.#admin?.stop();
    await this.#standins.stop();
    await Promise.race([this.#definitions?.stop(), pause(1_000)]);
    await Promise.race([
      this.#stored?.then((queue) => queue.close()).catch(() => {}),
      pause(1_000),
    ]);
    await this.#kvdb.close();
    await this.#redis.stop();
    this.#banner.say('stopped');
    await this.#log.close();
    this.#onEnd(0);
  }

  #openDefinitions(sealer: Sealer): DefinitionStore {
    const types = definitionTypes({ hasher: new PasswordHasher(), sealer });
    return new DefinitionStore({
      redis: this.#redis.command,
      subscriber: () => connectRedis(this.#redis.target, 'subscriber', () => {}),
      types: Object.values(types),
      log: this.#log,
    });
  }

  #openAdmin(definitions: DefinitionStore): AdminServer {
    const admin = new Admin(
      adminPorts({
        system: {
          status: () => this.#status(),
          readiness: () => this.#readiness(),
          stop: () => this.signal(),
        },
        staff: this.#staff,
        deployer: this.#deployer,
        definitions,
        kvdb: this.#kvdb,
        standins: this.#standins,
        stored: () => this.#storedCalls(),
        hub: this.#hub,
        env: this.#env,
      }),
    );
    return new AdminServer({ admin, dataDir: this.#settings.dataDir, log: this.#log });
  }

  /** Loads what there is; an empty system gets the configuration file. */
  async #loadDefinitions(definitions: DefinitionStore): Promise<void> {
    const waiting = setTimeout(() => {
      this.#log.warn('waiting for Redis', { redis: this.#redis.shown });
    }, 3_000);
    await definitions.start();
    clearTimeout(waiting);
    await this.#redis.check();
    const { configFile, configRequired } = this.#settings;
    if (!definitions.isEmpty()) {
      this.#banner.config(`revision ${definitions.revision}`);
      return;
    }
    const text = await readFile(configFile, 'utf8').catch((error: unknown) => {
      if (!configRequired) return undefined;
      throw new Fault('not-found', `No configuration file ${configFile}`, { cause: error });
    });
    if (text === undefined) return;
    const file = configFile.replace(`${this.#settings.projectDir}/`, '');
    const { changes, revision } = await applyConfig(
      definitions,
      { file, text },
      { env: (name) => this.#env[name] },
    );
    this.#banner.config(`${file} applied, ${changes.length} definitions, revision ${revision}`);
  }

  async #status(): Promise<Status> {
    const { ready, reasons } = await this.#readiness();
    const redis = this.#redis;
    return {
      version: version(),
      node: process.versions.node,
      pid: process.pid,
      uptimeMs: Date.now() - this.#startedAt,
      ready,
      reasons,
      channelsUrl: this.#channelsUrl,
      adminUrl: this.#adminUrl,
      redis: {
        url: redis.shown,
        embedded: redis.embedded,
        up: await redis.answers(),
        ...(redis.version === undefined ? {} : { version: redis.version }),
      },
      revision: this.#definitions?.revision ?? 0,
      services: {
        deployed: this.#deployer.services().length,
        failed: this.#deployer.failures().size,
      },
      workers: this.#staff.views(),
    };
  }

  async #readiness(): Promise<Readiness> {
    const store = this.#definitions?.status();
    const reasons = [
      this.#stopping && 'it is stopping',
      !(await this.#redis.answers()) && 'redis does not answer',
      store?.lost && `redis was ${store.lost}: the last known definitions serve on`,
      !store?.loaded && 'the definitions are not loaded',
      store?.loaded && !store.up && 'the definitions cannot be read again',
      !this.#deployed && 'the services are not loaded',
      this.#staff.pool.serving().length === 0 && 'no worker serves',
    ].filter((reason) => typeof reason === 'string');
    return { ready: reasons.length === 0, reasons };
  }

  #storedCalls(): Promise<InvocationQueue> {
    this.#stored ??= import('../invocation/invocation-queue.ts').then(
      (module) => new module.InvocationQueue(this.#redis.command),
    );
    return this.#stored;
  }

  get #bound(): BoundPort {
    if (this.#port) return this.#port;
    throw new Fault('unavailable', 'The port is not bound yet');
  }

  get #channelsUrl(): string {
    const { host, port } = this.#bound;
    return `http://${host.includes(':') ? `[${host}]` : host}:${port}`;
  }

  get #adminUrl(): string {
    return this.#admin?.url ?? '';
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

import { join, relative } from 'node:path';
import process from 'node:process';
import { AdminServer } from '../../channels/admin/admin-server.ts';
import { Admin } from '../admin/admin.ts';
import type { DefinitionStore } from '../config/store.ts';
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
import { Sealer } from '../security/sealer.ts';
import { adminPorts } from './admin-desk.ts';
import { Banner } from './banner.ts';
import { controlDefinitions } from './control-definitions.ts';
import { ControlMessages } from './control-messages.ts';
import { makeDataDir } from './data-dir.ts';
import { DeployFleet } from './deploy-fleet.ts';
import { applyFirstConfig } from './first-config.ts';
import { Health } from './health.ts';
import { RedisHome } from './redis-home.ts';
import type { Environment, Settings } from './settings.ts';
import { atMost, settle } from './shutdown.ts';
import { Standins } from './standins.ts';
import { version } from './version.ts';
import { WorkerStaff } from './worker-staff.ts';

const sameKeyMs = 300;
/** Clients of a Redis that does not answer never close by themselves. */
const closeMs = 500;

/** The control process: everything but user code, built, started and stopped in order. */
export class ControlRoom {
  readonly #settings: Settings;
  readonly #env: Environment;
  readonly #redactor = new Redactor();
  readonly #hub: LogHub;
  readonly #log: Log;
  readonly #redis: RedisHome;
  readonly #kvdb: Kvdb;
  readonly #standins = new Standins();
  readonly #staff: WorkerStaff;
  readonly #fleet: DeployFleet;
  readonly #deployer: Deployer;
  readonly #health: Health;
  readonly #banner: Banner;
  #definitions: DefinitionStore | undefined;
  #messages: ControlMessages | undefined;
  #admin: AdminServer | undefined;
  #port: BoundPort | undefined;
  #stored: Promise<InvocationQueue> | undefined;
  #deployed = false;
  #starting: Promise<void> | undefined;
  #stopping: Promise<void> | undefined;
  #signalledAt = 0;
  #onEnd: (code: number) => void = () => {};

  constructor(settings: Settings, env: Environment) {
    this.#settings = settings;
    this.#env = env;
    makeDataDir(settings.dataDir);
    this.#hub = new LogHub({
      format: settings.logFormat,
      out: process.stdout,
      colour: process.stdout.isTTY === true && !env['NO_COLOR'],
      redactor: this.#redactor,
    });
    this.#log = Log.open({
      level: settings.logLevel,
      stream: this.#hub.input(),
      redactor: this.#redactor,
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
        workers: settings.workers,
        restSubscribe: settings.restSubscribe,
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
    this.#health = new Health({
      redis: this.#redis,
      deployer: this.#deployer,
      staff: this.#staff,
      now: () => ({
        definitions: this.#definitions,
        deployed: this.#deployed,
        stopping: this.stopping,
        channelsUrl: this.#port?.url ?? '',
        adminUrl: this.#admin?.url ?? '',
      }),
    });
  }

  /** Called once, with the exit code, when it has stopped. */
  onEnd(listener: (code: number) => void): void {
    this.#onEnd = listener;
  }

  get stopping(): boolean {
    return this.#stopping !== undefined;
  }

  /** The first asks for a clean stop, a second one that is not the same key ends everything now. */
  signal(): void {
    if (!this.#stopping) {
      this.#signalledAt = performance.now();
      this.askToStop();
      return;
    }
    // One Ctrl-C comes twice: from the terminal, and passed on by npm.
    if (performance.now() - this.#signalledAt < sameKeyMs) return;
    this.#staff.pool.kill();
    background(
      this.#redis.stop().finally(() => process.exit(130)),
      () => {},
    );
  }

  /** A clean stop, however often it is asked for. */
  askToStop(): void {
    if (this.stopping) return;
    this.#banner.say('stopping: finishing what is in flight; once more to stop now');
    background(this.stop(), () => {});
  }

  start(): Promise<void> {
    this.#starting ??= this.#start();
    return this.#starting;
  }

  async #start(): Promise<void> {
    const { port, adminPort } = this.#settings;
    this.#banner.title(version());
    // The first worker imports its modules while Redis starts.
    const first = this.#staff.pool.spawn();
    const sealing = Sealer.fromFile(join(this.#settings.dataDir, 'key'));
    await this.#open();
    const { store, types } = controlDefinitions({
      redis: this.#redis,
      sealer: await sealing,
      env: this.#env,
      log: this.#log,
      redactor: this.#redactor,
    });
    this.#definitions = store;
    this.#admin = this.#openAdmin(store);
    const avoid = this.#bound.port;
    await this.#admin.start({ host: '127.0.0.1', ...adminPort, avoid });
    this.#proceed();
    this.#banner.redis(this.#redis, this.#settings.dataDir);
    await this.#loadDefinitions(store);
    this.#messages = new ControlMessages({
      ...{ store, types, redis: this.#redis.command, redactor: this.#redactor, log: this.#log },
      subscriber: () => connectRedis(this.#redis.target, 'subscriber', () => {}),
      isDeployed: () => {
        if (!this.#deployed) return undefined;
        const names = new Set(this.#deployer.services().map(({ name }) => name));
        return (service) => names.has(service);
      },
    });
    await this.#staff.setUp(first);
    await this.#fleet.join(first);
    this.#banner.services(await this.#deployer.load(), this.#settings.servicesDir);
    this.#fleet.booted();
    this.#proceed();
    for (const worker of this.#fleet.members()) await this.#staff.pool.adopt(worker);
    if (this.#staff.pool.serving().length === 0) await this.#staff.pool.fill();
    this.#deployed = true;
    this.#banner.ready({
      channelsUrl: this.#bound.url,
      adminUrl: this.#admin?.url ?? '',
      movedFrom: this.#bound.port === port.port || port.port === 0 ? undefined : port.port,
    });
    background(this.#staff.pool.fill(), (error) => this.#log.error('workers', { error }));
    this.#messages.schedule();
  }

  /** Nothing new comes in, what is in flight finishes, Redis ends last. */
  stop(): Promise<void> {
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  async #stop(): Promise<void> {
    if (!this.#deployed) await this.#interrupt();
    // First: who comes now is refused at once, not left waiting for nobody.
    this.#port?.close();
    const { graceMs } = this.#settings;
    await settle(this.#log, [this.#deployer.stop(), this.#staff.pool.drain(graceMs)]);
    await settle(this.#log, [
      this.#admin?.stop(),
      this.#standins.stop(),
      atMost(closeMs, this.#messages?.close()),
      atMost(closeMs, this.#definitions?.stop()),
      atMost(
        closeMs,
        this.#stored?.then((queue) => queue.close()),
      ),
      atMost(closeMs, this.#kvdb.close()),
    ]);
    await settle(this.#log, [this.#redis.stop()]);
    this.#banner.say('stopped');
    await this.#log.close();
    this.#onEnd(0);
  }

  /** Makes a start that is under way fail where it waits, and waits until it has. */
  async #interrupt(): Promise<void> {
    this.#staff.pool.kill();
    background(this.#redis.stop(), () => {});
    background(this.#definitions?.stop() ?? Promise.resolve(), () => {});
    await this.#starting?.catch(() => {});
  }

  /** All at once; when one fails the others are waited for, so that they can be closed. */
  async #open(): Promise<void> {
    const { host, port, adminPort } = this.#settings;
    const opened = await Promise.allSettled([
      this.#redis.start(),
      this.#standins.start(),
      this.#deployer.start(),
      bindPort(host, { ...port, avoid: adminPort.port }).then((bound) => {
        this.#port = bound;
      }),
    ]);
    this.#proceed();
    for (const part of opened) if (part.status === 'rejected') throw part.reason;
  }

  #proceed(): void {
    if (this.stopping) throw new Fault('unavailable', 'It was stopped while it started');
  }

  #openAdmin(definitions: DefinitionStore): AdminServer {
    const admin = new Admin(
      adminPorts({
        system: {
          status: () => this.#health.status(),
          readiness: () => this.#health.readiness(),
          stop: () => this.askToStop(),
        },
        staff: this.#staff,
        deployer: this.#deployer,
        definitions,
        kvdb: this.#kvdb,
        standins: this.#standins,
        stored: () => this.#storedCalls(),
        messages: () => this.#messages,
        hub: this.#hub,
        env: this.#env,
      }),
    );
    const server = new AdminServer({ admin, dataDir: this.#settings.dataDir, log: this.#log });
    this.#redactor.add(server.token);
    return server;
  }

  /** Loads what there is; an empty system gets the configuration file. */
  async #loadDefinitions(definitions: DefinitionStore): Promise<void> {
    const waiting = setTimeout(() => {
      this.#log.warn('waiting for Redis', { redis: this.#redis.shown });
    }, 3_000);
    await definitions.start().finally(() => clearTimeout(waiting));
    await this.#redis.check();
    const told = await applyFirstConfig(definitions, this.#settings, this.#env);
    if (told !== undefined) this.#banner.config(told);
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
}

import { mkdir, realpath } from 'node:fs/promises';
import { join } from 'node:path';
import { background } from '../core/background.ts';
import { Fault } from '../core/fault.ts';
import type { Logger } from '../log/logger.ts';
import { Builder } from './builder.ts';
import { CompileCache } from './compile-cache.ts';
import { Compiler } from './compiler.ts';
import { checkUpload, writeWhole } from './deploy-file.ts';
import { DeployLine, type DeployOrder } from './deploy-line.ts';
import { displayPath, isInside, projectFiles } from './file-kind.ts';
import { Journal } from './journal.ts';
import { Live, type LiveService } from './live.ts';
import { Quarantine } from './quarantine.ts';
import { Settler } from './settler.ts';
import { sha256 } from './snapshot.ts';
import { type Batch, emptyBatch, mergeBatches, type Source } from './source.ts';
import type { DeployFailure, DeployReport, Fleet, Transaction } from './unit.ts';
import { Watcher, type WatchMode } from './watcher.ts';

export interface DeployerOptions {
  readonly servicesDir: string;
  /** Services may import files from anywhere in it. */
  readonly projectDir: string;
  readonly cacheDir: string;
  readonly fleet: Fleet;
  readonly log: Logger;
  readonly quietMs?: number;
  /** How long a file that lost services waits for its rest. */
  readonly holdMs?: number;
  readonly sweepMs?: number;
  readonly watch?: WatchMode;
  /** Told of each deploy that changed or refused something. */
  readonly onReport?: (report: DeployReport) => void;
}

interface Machine {
  readonly projectDir: string;
  readonly servicesDir: string;
  readonly settler: Settler;
  readonly watcher: Watcher;
  readonly compiler: Compiler;
  readonly quarantine: Quarantine;
  readonly line: DeployLine;
}

const defaultHoldMs = 300;
const longestGatherMs = 250;
const parallelReads = 16;
/** A file may settle as it was, and then no batch tells. */
const settlePollMs = 15;

/** Keeps what the workers serve equal to what is in the services folder. */
export class Deployer {
  readonly #options: DeployerOptions;
  readonly #live = new Live();
  readonly #journal: Journal;
  readonly #timers = new Set<NodeJS.Timeout>();
  readonly #retries = new Set<string>();
  #machine: Machine | undefined;
  #pending: Batch | undefined;
  #arrived: (() => void) | undefined;
  #tail: Promise<unknown> = Promise.resolve();
  #stopped = false;

  constructor(options: DeployerOptions) {
    this.#options = options;
    this.#journal = new Journal(options.projectDir, options.log);
  }

  /** Makes the folders and starts the compiler; `load` follows. */
  async start(): Promise<void> {
    if (this.#machine !== undefined) return;
    const { servicesDir, cacheDir } = this.#options;
    await mkdir(servicesDir, { recursive: true });
    await mkdir(cacheDir, { recursive: true, mode: 0o700 });
    const machine = this.#assemble(
      await realpath(this.#options.projectDir),
      await realpath(servicesDir),
    );
    this.#machine = machine;
    machine.quarantine.load();
    await machine.compiler.start();
    if (machine.compiler.settings.wantsDecoratorMetadata) {
      this.#options.log.warn('emitDecoratorMetadata of the tsconfig has no effect in services');
    }
  }

  /** Deploys all there is, straight to the workers, and watches from here on. */
  async load(): Promise<DeployReport> {
    const { projectDir, settler, watcher } = this.#running();
    const since = Date.now();
    for (const name of projectFiles) await settler.adopt(join(projectDir, name));
    watcher.include([join(projectDir, 'package.json')]);
    const batch = await this.#read(await watcher.list(), since);
    const [report] = await Promise.all([
      this.#enqueue(() => this.#deploy({ batch, boot: true })),
      watcher.start(),
    ]);
    return report;
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    for (const timer of this.#timers) clearTimeout(timer);
    const machine = this.#machine;
    if (machine === undefined) return;
    machine.settler.stop();
    await machine.watcher.stop();
    await this.#tail;
    await machine.quarantine.flush();
    await machine.compiler.stop();
  }

  /**
   * Writes a service file and answers when it serves, or why it does not. With `check` it is compiled
   * and loaded in the canary only: `deployed` then says what would serve.
   * @throws Fault `bad-request` for a name or a text that cannot be a service file's.
   */
  async deployFile(
    name: string,
    text: string,
    options: { readonly check?: boolean } = {},
  ): Promise<DeployReport> {
    const { projectDir, servicesDir, settler } = this.#running();
    const bytes = Buffer.from(text);
    checkUpload(name, bytes);
    const path = join(servicesDir, name);
    const file = displayPath(projectDir, path);
    const source: Source = { path, real: path, file, bytes, hash: sha256(bytes) };
    const since = Date.now();
    const order = {
      batch: { ...emptyBatch(since), changed: new Map([[path, source]]) },
      asked: path,
    };
    if (options.check === true) return this.#enqueue(() => this.#deploy({ ...order, trial: true }));
    await writeWhole(path, bytes);
    settler.record(path, source);
    const report = await this.#enqueue(() => {
      const pending = this.#takePending();
      // Somebody saved it again while this waited: theirs is what is on disk.
      const batch = pending?.changed.has(path) ? pending : mergeBatches(pending, order.batch);
      return this.#deploy({ ...order, batch, retries: this.#takeRetries() });
    });
    return this.#verdict(report, file);
  }

  /** A deploy that changed nothing, or that the watcher was faster with, tells how the file stands. */
  #verdict(report: DeployReport, file: string): DeployReport {
    if (report.deployed.length + report.undeployed.length + report.failures.length > 0) {
      return report;
    }
    const failure = this.failures().get(file);
    if (failure) return { ...report, failures: [failure] };
    const deployed = this.services()
      .filter((service) => service.file === file)
      .map(({ name, version, hash }) => ({ name, file, version, hash }));
    return { ...report, deployed };
  }

  /**
   * What a worker that starts now has to prepare and commit, in this order, to be as the others are:
   * one transaction, or more when a file keeps an old version of a helper that others have moved on from.
   */
  bootTransactions(): readonly Transaction[] {
    const { line } = this.#running();
    return this.#live.transactions(() => line.nextId());
  }

  services(): readonly LiveService[] {
    return this.#live.services();
  }

  /** Why files are not what serves, by file as people see it: `services/pushover.ts`. */
  failures(): ReadonlyMap<string, DeployFailure> {
    return this.#running().line.failures();
  }

  /** The last 200, newest first. */
  reports(): readonly DeployReport[] {
    return this.#journal.reports();
  }

  #running(): Machine {
    if (this.#machine === undefined) throw new Fault('unavailable', 'The deployer has not started');
    return this.#machine;
  }

  #assemble(projectDir: string, servicesDir: string): Machine {
    const {
      fleet,
      log,
      cacheDir,
      quietMs = 20,
      holdMs = defaultHoldMs,
      sweepMs,
      watch,
    } = this.#options;
    const settler = new Settler({
      projectDir,
      servicesDir,
      quietMs,
      onBatch: (batch) => this.#receive(batch),
    });
    const watcher = new Watcher({
      projectDir,
      servicesDir,
      log,
      touch: (path) => settler.touch(path),
      compare: (paths) => settler.compare(paths),
      known: () => settler.paths(),
      links: () => settler.links(),
      ...(watch === undefined ? {} : { mode: watch }),
      ...(sweepMs === undefined ? {} : { sweepMs }),
    });
    const compiler = new Compiler({
      projectDir,
      cache: new CompileCache(join(cacheDir, 'units')),
      identify: (real) => settler.identify(real),
    });
    const quarantine = new Quarantine(cacheDir);
    const adopt = (path: string) => settler.adopt(path);
    const line = new DeployLine({
      projectDir,
      servicesDir,
      fleet,
      live: this.#live,
      builder: new Builder({ projectDir, servicesDir, compiler, adopt }),
      compiler,
      quarantine,
      journal: this.#journal,
      log,
      holdMs,
      gather: (batch, family) => this.#gather(batch, family),
      follow: (needed, dropped) => {
        watcher.include(needed);
        for (const path of dropped) if (!isInside(servicesDir, path)) settler.forget(path);
      },
      again: (path, ms) => this.#again(path, ms),
    });
    return { projectDir, servicesDir, settler, watcher, compiler, quarantine, line };
  }

  async #read(paths: readonly string[], since: number): Promise<Batch> {
    const { settler } = this.#running();
    const changed = new Map<string, Source>();
    const refused = new Map<string, DeployFailure>();
    for (let at = 0; at < paths.length; at += parallelReads) {
      const some = paths.slice(at, at + parallelReads);
      const readings = await Promise.all(some.map((path) => settler.adopt(path)));
      for (const [index, reading] of readings.entries()) {
        const path = some[index] ?? '';
        if ('source' in reading) changed.set(path, reading.source);
        else if ('failure' in reading) refused.set(path, reading.failure);
      }
    }
    return { changed, removed: new Set(), refused, since };
  }

  #receive(batch: Batch): void {
    if (this.#stopped) return;
    this.#pending = mergeBatches(this.#pending, batch);
    this.#arrived?.();
    this.#pump();
  }

  #again(path: string, ms: number): void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      this.#retries.add(path);
      this.#pump();
    }, ms);
    this.#timers.add(timer);
  }

  #pump(): void {
    const work = this.#enqueue(async () => {
      const pending = this.#takePending();
      if (this.#stopped || (pending === undefined && this.#retries.size === 0)) return;
      const batch = pending ?? emptyBatch(Date.now());
      await this.#deploy({ batch, retries: this.#takeRetries() });
    });
    background(work, (error) => {
      const reason = error instanceof Error ? (error.stack ?? error.message) : String(error);
      this.#options.log.error('a deploy broke off', { reason });
    });
  }

  #enqueue<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#tail.then(work);
    this.#tail = result.catch(() => undefined);
    return result;
  }

  async #deploy(order: DeployOrder): Promise<DeployReport> {
    const before = this.#journal.reports()[0];
    const report = await this.#running().line.deploy(order);
    if (this.#journal.reports()[0] !== before) this.#options.onReport?.(report);
    return report;
  }

  #takePending(): Batch | undefined {
    const pending = this.#pending;
    this.#pending = undefined;
    return pending;
  }

  #takeRetries(): string[] {
    const retries = [...this.#retries];
    this.#retries.clear();
    return retries;
  }

  /** Files that one command wrote arrive one after another: those around the batch must stand still too. */
  async #gather(batch: Batch, family: (batch: Batch) => Iterable<string>): Promise<Batch> {
    const { settler } = this.#running();
    const until = Date.now() + longestGatherMs;
    let all = batch;
    while (settler.touchStale(family(all)) && Date.now() < until && !this.#stopped) {
      await this.#arrival(settlePollMs);
      const pending = this.#takePending();
      if (pending !== undefined) all = mergeBatches(all, pending);
    }
    return all;
  }

  #arrival(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.#arrived = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}

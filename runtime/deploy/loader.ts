import { setImmediate as nextTurn } from 'node:timers/promises';
import { Fault } from '../core/fault.ts';
import type { Logger } from '../log/logger.ts';
import type { ModelClass } from '../service/model.ts';
import type { Registry } from '../service/registry.ts';
import type { ServiceVersion } from '../service/version.ts';
import { CodeUrls } from './code-urls.ts';
import { describeFailure, type RootFailure } from './describe-failure.ts';
import { type Evaluate, evaluateBody } from './evaluator.ts';
import { ExitAtLoad, ExitGuard } from './exit-guard.ts';
import { Externals } from './externals.ts';
import { Generation, NameTaken } from './generation.ts';
import { type Gauge, LeakGauge } from './leak-gauge.ts';
import { loadRecord } from './load-record.ts';
import { Models } from './models.ts';
import { ModuleCode } from './module-code.ts';
import { linkRoots } from './module-graph.ts';
import { ModuleRecord, type Surroundings } from './module-record.ts';
import { SourceMapStore } from './source-maps.ts';
import type { FailureKind, Prepared, Root, Transaction, Unit } from './unit.ts';

export interface LoaderOptions {
  readonly registry: Registry;
  readonly log: Logger;
  /** Live modules of the runtime for `hence` and `hence/testing`. */
  readonly host: Readonly<Record<string, unknown>>;
  /** Told, synchronously, the path of the root that is evaluated from now on; undefined: none. */
  readonly mark: (rootPath: string | undefined) => void;
  /** How code becomes a function; tests and odd platforms give their own. */
  readonly evaluate?: Evaluate;
  /** Where service files are, relative to the project. */
  readonly servicesFolder?: string;
  /** For a top-level await, a package, or one `onUndeploy`. */
  readonly timeoutMs?: number;
  /** After which calls that still run on an old version are reported. */
  readonly drainMs?: number;
}

/** A transaction between its prepare and its commit or abort. */
interface Staging {
  readonly transaction: Transaction;
  readonly records: ReadonlyMap<string, ModuleRecord>;
  readonly fresh: ReadonlySet<ModuleRecord>;
  readonly generations: Map<string, Generation>;
}

const sliceMs = 5;

/** Evaluates compiled files in this process and swaps services, all of a transaction at once. */
export class Loader {
  /** For `installSourceMaps`. */
  readonly sourceMaps = new SourceMapStore();
  readonly #options: LoaderOptions;
  readonly #around: Surroundings;
  readonly #gauge = new LeakGauge();
  readonly #exits = new ExitGuard();
  /** The newest that was committed: what a transaction that fails brought is not kept. */
  readonly #units = new Map<string, Unit>();
  readonly #live = new Map<string, ModuleRecord>();
  readonly #generations = new Map<string, Generation>();
  readonly #draining = new Set<Generation>();
  readonly #urls = new CodeUrls();
  readonly #models: Models;
  #staging: Staging | undefined;
  #swapping = false;

  constructor(options: LoaderOptions) {
    const { host, log, evaluate = evaluateBody, timeoutMs = 5_000 } = options;
    this.#options = options;
    const externals = new Externals(host, timeoutMs);
    const load = (record: ModuleRecord) => loadRecord(record, externals);
    this.#models = new Models(options.servicesFolder ?? 'services');
    const evaluated = (record: ModuleRecord) => this.#models.name(record);
    this.#around = { externals, evaluate, load, evaluated, log, timeoutMs };
  }

  /**
   * Evaluates in staging: nothing is visible before the commit. A transaction that was neither
   * committed nor aborted before is dropped.
   * @throws Fault `conflict` when aborted meanwhile
   */
  async prepare(transaction: Transaction): Promise<Prepared> {
    this.#drop();
    const staging = this.#stage(transaction);
    this.#staging = staging;
    const failures: RootFailure[] = [];
    let sliceEnds = performance.now() + sliceMs;
    try {
      for (const root of transaction.roots) {
        const failure = await this.#prepareRoot(root, staging);
        if (failure) failures.push(failure);
        if (performance.now() > sliceEnds) {
          // What happens in other turns is not this root's doing.
          this.#options.mark(undefined);
          await nextTurn();
          sliceEnds = performance.now() + sliceMs;
        }
        this.#requireStaging(transaction.id, staging);
      }
    } finally {
      this.#options.mark(undefined);
    }
    const services = [...staging.generations.values()].flatMap((made) => made.services);
    return { id: transaction.id, services, failures };
  }

  /**
   * Swaps these roots and takes out what the transaction undeploys, in one synchronous step.
   * @throws Fault `conflict`, before anything changed, when there is no such transaction, a root
   * failed in it, or a service name belongs to another file.
   */
  commit(id: number, roots: readonly string[]): void {
    const staging = this.#requireStaging(id);
    const arriving = roots.map((path) => requireGeneration(staging, path));
    const leaving = [...roots, ...staging.transaction.undeploy];
    this.#checkNames(arriving, new Set(leaving));
    this.#staging = undefined;
    for (const path of staging.transaction.removed) this.#units.delete(path);
    const retired = leaving.flatMap((path) => this.#generations.get(path) ?? []);
    this.#swapping = true;
    try {
      this.#swap(arriving, leaving);
    } finally {
      this.#swapping = false;
    }
    this.#unpin(staging);
    for (const generation of retired) this.#drain(generation);
  }

  /** Forgets a transaction; one that is not there was forgotten before. */
  abort(id: number): void {
    if (this.#staging?.transaction.id === id) this.#drop();
  }

  /** Retired classes still reachable, though nobody calls them any more. */
  gauge(): Gauge {
    return this.#gauge.read();
  }

  /**
   * The Model class of this name: as `service` sees it, which may lag behind while its file fails to
   * load, else the newest.
   */
  model(name: string, service: string): ModelClass | undefined {
    const path = this.#options.registry.get(service)?.path ?? '';
    const own = this.#generations.get(path)?.records ?? [];
    return this.#models.find(own, name) ?? this.#models.find(this.#live.values(), name);
  }

  /**
   * An instance of a Model class from its JSON, for `service`.
   * @throws Fault `not-found` for a class that no deployed file exports, `bad-request` for data that
   * does not fit it.
   */
  readonly reviveModel = (name: string, value: unknown, service: string): unknown =>
    this.#models.revive(this.model(name, service), name, value);

  /** Undeploys everything, calls in flight or not: the process is about to end. */
  async stop(): Promise<void> {
    this.#drop();
    const generations = [...this.#generations.values(), ...this.#draining];
    for (const { root } of generations) this.#options.registry.replace(root.path, []);
    this.#generations.clear();
    this.#draining.clear();
    const records = generations.flatMap((generation) => generation.release());
    await Promise.all(records.map((record) => this.#dispose(record)));
  }

  #stage(transaction: Transaction): Staging {
    const units = new Map(this.#units);
    for (const path of transaction.removed) units.delete(path);
    for (const unit of transaction.units) units.set(unit.path, unit);
    const fresh = new Set<ModuleRecord>();
    const records = linkRoots({
      units,
      live: this.#live,
      roots: transaction.roots.map((root) => root.path),
      evaluate: transaction.evaluate,
      create: (unit) => {
        const record = new ModuleRecord(this.#codeOf(unit), this.#around);
        fresh.add(record);
        return record;
      },
    });
    // Pinned: what is reused may be held by nothing but a generation that drains meanwhile.
    for (const record of records.values()) record.holders++;
    return { transaction, records, fresh, generations: new Map() };
  }

  async #prepareRoot(root: Root, staging: Staging): Promise<RootFailure | undefined> {
    const { mark, log } = this.#options;
    let kind: FailureKind = 'import';
    mark(root.path);
    try {
      const record = staging.records.get(root.path);
      if (!record) throw new Fault('not-found', `${root.file} was not compiled`);
      const generation = await this.#exits.during(root.file, async () => {
        const exports = await this.#around.load(record);
        const failed = record.failure();
        if (failed) throw failed.error;
        kind = 'constructor';
        return this.#generationOf(root, record, exports);
      });
      staging.generations.set(root.path, generation);
      if (generation.versions.length === 0)
        log.info('file exports no service', { file: root.file });
      return undefined;
    } catch (thrown) {
      return await describeFailure(root, kindOf(kind, thrown), thrown, this.sourceMaps);
    }
  }

  #generationOf(root: Root, record: ModuleRecord, exports: unknown): Generation {
    const folder = `${this.#options.servicesFolder ?? 'services'}/`;
    const name = root.file.startsWith(folder) ? root.file.slice(folder.length) : root.file;
    return new Generation(root, { record, exports, name }, (generation) => {
      if (!this.#swapping) this.#end(generation);
    });
  }

  #swap(arriving: readonly Generation[], leaving: readonly string[]): void {
    const { registry } = this.#options;
    // All slots are emptied before the first is filled: a name may move between files.
    for (const path of leaving) {
      registry.replace(path, []);
      const generation = this.#generations.get(path);
      if (generation) this.#draining.add(generation);
      this.#generations.delete(path);
    }
    for (const generation of arriving) {
      const { path } = generation.root;
      registry.replace(path, generation.versions);
      this.#generations.set(path, generation);
      for (const record of generation.hold()) {
        this.#live.set(record.unit.path, record);
        this.#units.set(record.unit.path, record.unit);
      }
    }
  }

  #checkNames(arriving: readonly Generation[], leaving: ReadonlySet<string>): void {
    const claims = new Map<string, ServiceVersion>();
    for (const version of arriving.flatMap((generation) => generation.versions)) {
      const current = this.#options.registry.get(version.name);
      const stays = current && !leaving.has(current.path) ? current : undefined;
      const other = claims.get(version.name) ?? stays;
      if (other) {
        const files = `${other.file} and ${version.file}`;
        throw new Fault('conflict', `Service ${version.name} is claimed by ${files}`);
      }
      claims.set(version.name, version);
    }
  }

  #drain(generation: Generation): void {
    if (generation.idle) this.#end(generation);
    else generation.reportAfter(this.#options.drainMs ?? 60_000, this.#options.log);
  }

  #end(generation: Generation): void {
    if (!this.#draining.delete(generation)) return;
    for (const record of generation.release()) {
      if (record === generation.record) this.#watch(generation);
      void this.#dispose(record);
    }
  }

  #watch(generation: Generation): void {
    for (const { name, ServiceClass } of generation.versions) this.#gauge.watch(name, ServiceClass);
  }

  #drop(): void {
    const staging = this.#staging;
    this.#staging = undefined;
    if (staging) this.#unpin(staging);
  }

  #unpin({ records, fresh }: Staging): void {
    for (const record of records.values()) {
      record.holders--;
      if (record.holders > 0) continue;
      void this.#dispose(record);
      if (fresh.has(record) && !record.code.used) this.sourceMaps.drop(record.code.url);
    }
  }

  /** Never rejects: a record reports what goes wrong in its callbacks. */
  #dispose(record: ModuleRecord): Promise<void> {
    const { path } = record.unit;
    if (this.#live.get(path) === record) this.#live.delete(path);
    return record.dispose();
  }

  #requireStaging(id: number, expected = this.#staging): Staging {
    const staging = this.#staging;
    if (staging && staging === expected && staging.transaction.id === id) return staging;
    throw new Fault('conflict', `Deploy ${id} is not prepared here, or was aborted`);
  }

  /** The code in use when it is the same: only what it imports has changed then. */
  #codeOf(unit: Unit): ModuleCode {
    const live = this.#live.get(unit.path)?.code;
    if (live?.fits(unit)) return live;
    return new ModuleCode(unit, this.#urls.next(unit.file), this.sourceMaps);
  }
}

function requireGeneration(staging: Staging, path: string): Generation {
  const generation = staging.generations.get(path);
  if (generation) return generation;
  throw new Fault('conflict', `Deploy ${staging.transaction.id} has no root ${path} to commit`);
}

function kindOf(kind: FailureKind, thrown: unknown): FailureKind {
  if (thrown instanceof NameTaken) return 'conflict';
  if (thrown instanceof ExitAtLoad) return 'exit';
  return Fault.is(thrown) && thrown.code === 'timeout' ? 'timeout' : kind;
}

import { mkdir, mkdtemp, readFile, realpath, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { CompileCache } from '../../runtime/deploy/compile-cache.ts';
import { Compiler } from '../../runtime/deploy/compiler.ts';
import { Loader, type LoaderOptions } from '../../runtime/deploy/loader.ts';
import { sha256 } from '../../runtime/deploy/snapshot.ts';
import type { Source } from '../../runtime/deploy/source.ts';
import type { Prepared, Root, Transaction, Unit } from '../../runtime/deploy/unit.ts';
import * as hence from '../../runtime/index.ts';
import { onUndeploy } from '../../runtime/service/on-undeploy.ts';
import type { Ports } from '../../runtime/service/ports.ts';
import { Registry } from '../../runtime/service/registry.ts';
import { type CollectingLog, collectingLog } from '../support/collecting-log.ts';

export type Files = Readonly<Record<string, string>>;

type ProjectOptions = Partial<LoaderOptions> & {
  /** What its services reach. */
  readonly ports?: Partial<Ports>;
};

/** A project on disk, compiled file by file and deployed into a loader of its own. */
export class DeployedProject {
  readonly folder: string;
  readonly log: CollectingLog = collectingLog();
  readonly marks: (string | undefined)[] = [];
  readonly registry: Registry;
  readonly loader: Loader;
  readonly units = new Map<string, Unit>();
  /** What the loader holds: only the rest travels. */
  readonly #committed = new Map<string, Unit>();
  readonly #versions = new Map<string, number>();
  readonly #cache: CompileCache;
  readonly #compiler: Compiler;
  #transactions = 0;

  private constructor(folder: string, { ports, ...options }: ProjectOptions) {
    this.folder = folder;
    this.#cache = new CompileCache(join(folder, '.cache'));
    this.#compiler = new Compiler({
      projectDir: folder,
      identify: (real) => real,
      cache: this.#cache,
    });
    this.registry = new Registry({ ...noPorts(this.log), ...ports });
    this.loader = new Loader({
      registry: this.registry,
      log: this.log,
      host: { hence: { ...hence, onUndeploy } },
      mark: (path) => this.marks.push(path),
      ...options,
    });
  }

  static async create(options: ProjectOptions = {}): Promise<DeployedProject> {
    const folder = await realpath(await mkdtemp(join(tmpdir(), 'hence-loader-')));
    const project = new DeployedProject(folder, options);
    await project.#compiler.start();
    return project;
  }

  path(file: string): string {
    return join(this.folder, file);
  }

  /** Writes without deploying: packages, or what a test wants to differ from what is deployed. */
  async write(files: Files): Promise<void> {
    for (const [file, text] of Object.entries(files)) {
      await mkdir(dirname(this.path(file)), { recursive: true });
      await writeFile(this.path(file), text);
    }
  }

  /** Writes, compiles and describes the change, dependents included. */
  async change(files: Files, removed: readonly string[] = []): Promise<Transaction> {
    await this.write(files);
    const changed = await Promise.all(
      Object.entries(files)
        .filter(([file]) => /\.tsx?$/.test(file))
        .map(([file, text]) => this.compile(file, text)),
    );
    return this.transaction(changed, removed);
  }

  async compile(file: string, text: string): Promise<Unit> {
    const read = async (path: string) => ({
      source: sourceOf(this.folder, path, await readFile(path, 'utf8')),
    });
    const source = sourceOf(this.folder, this.path(file), text);
    const result = await this.#compiler.compile(source, read);
    if ('failure' in result) throw new Error(JSON.stringify(result.failure));
    return result.compiled.unit;
  }

  /** The change that these units make. */
  transaction(changed: readonly Unit[], removed: readonly string[] = []): Transaction {
    for (const unit of changed) this.units.set(unit.path, unit);
    const gone = removed.map((file) => this.path(file));
    for (const path of gone) this.units.delete(path);
    const affected = new Set([...changed.map((unit) => unit.path), ...gone]);
    for (const path of affected) {
      for (const unit of this.units.values())
        if (unit.imports.includes(path)) affected.add(unit.path);
    }
    const evaluate = [...affected].filter((path) => this.units.has(path));
    const isRoot = (path: string) => path.startsWith(this.path('services/'));
    const roots = evaluate.filter(isRoot);
    return {
      id: ++this.#transactions,
      units: this.#below(roots).filter((unit) => this.#committed.get(unit.path) !== unit),
      removed: gone,
      evaluate,
      roots: roots.map((path) => this.#root(path)),
      undeploy: gone.filter(isRoot),
    };
  }

  /** Prepares, and commits every root that did not fail. */
  async deploy(files: Files, removed: readonly string[] = []): Promise<Prepared> {
    return this.commit(await this.change(files, removed));
  }

  async commit(transaction: Transaction): Promise<Prepared> {
    const prepared = await this.loader.prepare(transaction);
    const failed = new Set(prepared.failures.map((failure) => failure.path));
    const roots = transaction.roots.map((root) => root.path).filter((path) => !failed.has(path));
    this.loader.commit(transaction.id, roots);
    for (const path of transaction.removed) this.#committed.delete(path);
    for (const unit of this.#below(roots)) this.#committed.set(unit.path, unit);
    return prepared;
  }

  async call(service: string, input: unknown = {}): Promise<unknown> {
    const reply = await this.registry.invoke({ cid: 'test', service, input, rawRequest: input });
    return reply.payload;
  }

  async stop(): Promise<void> {
    await this.loader.stop();
    await this.#cache.flush();
    await rm(this.folder, { recursive: true, force: true });
  }

  #below(roots: readonly string[]): Unit[] {
    const below = new Set(roots);
    for (const path of below) {
      for (const used of this.units.get(path)?.imports ?? []) below.add(used);
    }
    return [...below].flatMap((path) => this.units.get(path) ?? []);
  }

  #root(path: string): Root {
    const file = path.slice(this.folder.length + 1);
    const version = (this.#versions.get(file) ?? 0) + 1;
    this.#versions.set(file, version);
    return { path, file, version, hash: this.units.get(path)?.hash ?? '' };
  }
}

function sourceOf(folder: string, path: string, text: string): Source {
  const file = path.slice(folder.length + 1);
  return { path, real: path, file, bytes: Buffer.from(text), hash: sha256(text) };
}

function noPorts(log: CollectingLog): Ports {
  const none = () => {
    throw new hence.Fault('unavailable', 'Not in this test');
  };
  return { log, outgoing: none, kvdb: none, invokeAsync: none, publish: none };
}

import { createRequire, isBuiltin } from 'node:module';
import { dirname, resolve as resolvePath } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { withDeadline } from '../core/deadline.ts';
import { Fault } from '../core/fault.ts';
import type { Logger } from '../log/logger.ts';
import {
  isEvaluating,
  onUndeploy,
  type UndeployCallback,
  whileEvaluating,
} from '../service/on-undeploy.ts';
import type { Evaluate } from './evaluator.ts';
import type { Externals } from './externals.ts';
import type { ModuleCode } from './module-code.ts';
import { ModuleTimers } from './module-timers.ts';
import type { Unit } from './unit.ts';

/** What all records of a loader share. */
export interface Surroundings {
  readonly externals: Externals;
  readonly evaluate: Evaluate;
  readonly log: Logger;
  /** Loads all that a record needs, then the record: what `import()` does. */
  readonly load: (record: ModuleRecord) => Promise<unknown>;
  /** Told as soon as a file is evaluated. */
  readonly evaluated: (record: ModuleRecord) => void;
  /** For a top-level await, and for one callback of `onUndeploy`. */
  readonly timeoutMs: number;
}

type State = 'linked' | 'evaluating' | 'evaluated' | 'failed' | 'disposed';

/** One evaluation of one file: what ES modules call a module record. */
export class ModuleRecord {
  readonly code: ModuleCode;
  /** How many generations, live or draining or staged, it is part of. */
  holders = 0;
  readonly #around: Surroundings;
  readonly #deps = new Map<string, ModuleRecord>();
  readonly #required = new Set<ModuleRecord>();
  readonly #timers = new ModuleTimers();
  readonly #callbacks: UndeployCallback[] = [];
  readonly #module: { exports: unknown } = { exports: {} };
  #state: State = 'linked';
  #error: unknown;
  #loading: Promise<void> | undefined;

  constructor(code: ModuleCode, around: Surroundings) {
    this.code = code;
    this.#around = around;
    code.use();
  }

  get unit(): Unit {
    return this.code.unit;
  }

  get deps(): ReadonlyMap<string, ModuleRecord> {
    return this.#deps;
  }

  get state(): State {
    return this.#state;
  }

  /** Those made so far; undefined once it is disposed. */
  get exports(): unknown {
    return this.#module.exports;
  }

  link(path: string, record: ModuleRecord): void {
    this.#deps.set(path, record);
  }

  /** Evaluates it at the first call; a file in a cycle sees the exports made so far. */
  evaluate(): unknown {
    if (this.#state === 'failed') throw this.#error;
    if (this.#state === 'disposed') throw new Error(`${this.unit.file} was undeployed`);
    if (this.#state !== 'linked') return this.#module.exports;
    if (this.unit.format === 'async') {
      throw new Error(
        `${this.unit.file} has a top-level await and is in an import cycle, or is required late`,
      );
    }
    this.#guard(() => this.#run());
    this.#settle('evaluated');
    return this.#module.exports;
  }

  /** As `evaluate`, and waits for a top-level await. */
  async load(): Promise<unknown> {
    if (this.unit.format === 'cjs') return this.evaluate();
    if (this.#state === 'disposed') throw new Error(`${this.unit.file} was undeployed`);
    this.#loading ??= this.#await();
    await this.#loading;
    return this.#module.exports;
  }

  /** The first error among it and what it required, directly or not. */
  failure(seen = new Set<ModuleRecord>()): { readonly error: unknown } | undefined {
    if (this.#state === 'failed') return { error: this.#error };
    seen.add(this);
    for (const record of this.#required) {
      const failed = seen.has(record) ? undefined : record.failure(seen);
      if (failed) return failed;
    }
    return undefined;
  }

  /** Runs the author's `onUndeploy`, last registered first, then clears the timers. Never throws. */
  async dispose(): Promise<void> {
    if (this.#state === 'disposed') return;
    this.#state = 'disposed';
    for (const callback of this.#callbacks.splice(0).reverse()) await this.#undeploy(callback);
    this.#timers.close();
    this.#deps.clear();
    this.#required.clear();
    this.#module.exports = undefined;
    this.code.release();
  }

  async #undeploy(callback: UndeployCallback): Promise<void> {
    const { log, timeoutMs } = this.#around;
    const late = () => new Fault('timeout', `onUndeploy did not end in ${timeoutMs} ms`);
    try {
      await withDeadline(Promise.resolve(callback()), timeoutMs, late);
    } catch (error) {
      log.warn('onUndeploy failed', { file: this.unit.file, error });
    }
  }

  async #await(): Promise<void> {
    const { timeoutMs } = this.#around;
    const late = () =>
      new Fault('timeout', `${this.unit.file}: top-level await did not end in ${timeoutMs} ms`);
    try {
      await withDeadline(Promise.resolve(this.#guard(() => this.#run())), timeoutMs, late);
      this.#settle('evaluated');
    } catch (error) {
      this.#fail(error);
      throw error;
    }
  }

  #guard<T>(run: () => T): T {
    this.#state = 'evaluating';
    try {
      return whileEvaluating((callback) => this.#callbacks.push(callback), run);
    } catch (error) {
      this.#fail(error);
      throw error;
    }
  }

  #fail(error: unknown): void {
    this.#error = error;
    this.#settle('failed');
  }

  /** Unless it was disposed meanwhile. */
  #settle(state: State): void {
    if (this.#state !== 'evaluating') return;
    this.#state = state;
    if (state === 'evaluated') this.#around.evaluated(this);
  }

  #run(): unknown {
    const run = this.code.body(this.#around.evaluate);
    return run(
      (specifier: string) => this.#require(specifier),
      this.#module,
      this.#module.exports,
      (specifier: unknown) => this.#import(String(specifier)),
      metaOf(this.unit.path),
      ...this.#timers.values,
    );
  }

  #require(specifier: string): unknown {
    const record = this.#deps.get(specifier);
    if (record) {
      this.#required.add(record);
      return record.evaluate();
    }
    const exports = this.#requireExternal(specifier);
    return specifier === 'hence' && this.unit.format === 'async' ? this.#withOwn(exports) : exports;
  }

  #requireExternal(specifier: string): object {
    const { externals } = this.#around;
    const { file } = this.unit;
    const resolved = this.#external(specifier);
    if (resolved === undefined) throw new Error(`Cannot find ${specifier}, imported by ${file}`);
    let exports: object;
    try {
      exports = externals.require(resolved);
    } catch (cause) {
      throw packageError(specifier, file, cause);
    }
    const missing = externals.missing(this.unit, specifier);
    if (missing === undefined) return exports;
    const what = missing === 'default' ? 'default export' : `export named "${missing}"`;
    throw new Error(`Package "${specifier}", imported by ${file}, has no ${what}`);
  }

  async #import(specifier: string): Promise<unknown> {
    const local = this.#deps.get(specifier) ?? this.#deps.get(this.#pathOf(specifier));
    if (local) return this.#around.load(local);
    const resolved = this.#external(specifier) ?? this.#resolve(specifier);
    try {
      return await this.#around.externals.import(resolved);
    } catch (cause) {
      throw packageError(specifier, this.unit.file, cause);
    }
  }

  #external(specifier: string): string | undefined {
    return this.unit.externals.find((external) => external.specifier === specifier)?.resolved;
  }

  /** A computed `import()`: the compiler has not seen it. */
  #resolve(specifier: string): string {
    if (specifier.startsWith('data:')) return specifier;
    if (isBuiltin(specifier)) return specifier;
    if (isPath(specifier)) return pathToFileURL(this.#pathOf(specifier)).href;
    return pathToFileURL(createRequire(this.unit.path).resolve(specifier)).href;
  }

  #pathOf(specifier: string): string {
    if (specifier.startsWith('file:')) return fileURLToPath(specifier);
    return isPath(specifier) ? resolvePath(dirname(this.unit.path), specifier) : specifier;
  }

  /** After its first await a file is not *being* evaluated any more, but its `onUndeploy` still is. */
  #withOwn(exports: object): object {
    const own = (callback: UndeployCallback) => {
      const loading = this.#state === 'evaluating' && !isEvaluating();
      if (loading) this.#callbacks.push(callback);
      else onUndeploy(callback);
    };
    return Object.defineProperties(
      {},
      {
        ...Object.getOwnPropertyDescriptors(exports),
        onUndeploy: { value: own, enumerable: true },
      },
    );
  }
}

function isPath(specifier: string): boolean {
  return /^(?:\.{0,2}[/\\]|\.{1,2}$|file:|[A-Za-z]:[/\\])/.test(specifier);
}

function packageError(specifier: string, file: string, cause: unknown): Error {
  const reason = cause instanceof Error ? cause.message : String(cause);
  const message = `Package "${specifier}", imported by ${file}, did not load: ${reason}`;
  return Fault.is(cause) && cause.code === 'timeout'
    ? new Fault('timeout', message, { cause })
    : new Error(message, { cause });
}

/** What `import.meta` is in a user file. */
function metaOf(path: string): object {
  const url = pathToFileURL(path).href;
  return {
    url,
    filename: path,
    dirname: dirname(path),
    resolve(specifier: string): string {
      if (isBuiltin(specifier)) return specifier.replace(/^(?!node:)/, 'node:');
      if (/^\.{0,2}\//.test(specifier)) return new URL(specifier, url).href;
      if (URL.canParse(specifier)) return specifier;
      return pathToFileURL(createRequire(path).resolve(specifier)).href;
    },
  };
}

import type { Evaluate, ModuleFunction } from './evaluator.ts';
import { timerNames } from './module-timers.ts';
import type { SourceMapStore } from './source-maps.ts';
import type { Unit } from './unit.ts';

const parameters = ['require', 'module', 'exports', '__import', '__meta', ...timerNames];

/**
 * One file's code as a function: compiled once, however often it is evaluated afresh because a file
 * that it imports has changed.
 */
export class ModuleCode {
  readonly unit: Unit;
  /** Unique: names this code in stack traces. */
  readonly url: string;
  readonly #sourceMaps: SourceMapStore;
  #users = 0;
  #body: ModuleFunction | undefined;

  constructor(unit: Unit, url: string, sourceMaps: SourceMapStore) {
    this.unit = unit;
    this.url = url;
    this.#sourceMaps = sourceMaps;
    const { path, file, hash, map } = unit;
    sourceMaps.add(url, { path, file, hash, map });
  }

  /** Whether this is the code of that unit too. */
  fits({ hash, code, format }: Unit): boolean {
    const own = this.unit;
    return own.hash === hash && own.format === format && own.code === code;
  }

  get used(): boolean {
    return this.#users > 0;
  }

  use(): void {
    this.#users++;
  }

  /** Its source map stays for a while: errors of it may still be on their way. */
  release(): void {
    this.#users--;
    if (!this.used) this.#sourceMaps.retire(this.url);
  }

  /** @throws SyntaxError when V8 refuses what the compiler let through */
  body(evaluate: Evaluate): ModuleFunction {
    const { code, map, format } = this.unit;
    const { url } = this;
    this.#body ??= evaluate({ code, map, url, parameters, async: format === 'async' });
    return this.#body;
  }
}

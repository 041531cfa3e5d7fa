import { withDeadline } from '../core/deadline.ts';
import { Fault } from '../core/fault.ts';
import { linksOf, type Use } from './links.ts';
import type { Unit } from './unit.ts';

type Exports = Readonly<Record<string, unknown>>;

interface Package {
  readonly namespace: Exports;
  /** What compiled `require` calls get: names stay live, and `default` stays the default. */
  readonly facade: object;
}

/** Packages and builtins, imported once for the life of the process by the real `import()`. */
export class Externals {
  readonly #host: Readonly<Record<string, unknown>>;
  readonly #timeoutMs: number;
  readonly #loaded = new Map<string, Package>();
  readonly #broken = new Map<string, unknown>();
  readonly #missing = new WeakMap<Unit, readonly Use[]>();

  /** @param host live modules of the runtime, by specifier: every version of user code shares them */
  constructor(host: Readonly<Record<string, unknown>>, timeoutMs: number) {
    this.#host = host;
    this.#timeoutMs = timeoutMs;
  }

  has(resolved: string): boolean {
    return this.#loaded.has(resolved);
  }

  /** Loads ahead of evaluation; what fails is thrown by `require` or `import` when it is reached. */
  async preload(resolved: string): Promise<void> {
    try {
      await this.import(resolved);
    } catch {
      // kept in #broken
    }
  }

  /** @throws what the package throws while it loads, or Fault `timeout` when it never ends. */
  async import(resolved: string): Promise<unknown> {
    const known = this.#loaded.get(resolved);
    if (known) return known.namespace;
    try {
      const namespace = await this.#load(resolved);
      this.#loaded.set(resolved, { namespace, facade: facadeOf(namespace) });
      this.#broken.delete(resolved);
      return namespace;
    } catch (error) {
      this.#broken.set(resolved, error);
      throw error;
    }
  }

  /** @throws why the package did not load */
  require(resolved: string): object {
    const known = this.#loaded.get(resolved);
    if (known) return known.facade;
    throw this.#broken.get(resolved) ?? new Error('it is not loaded yet');
  }

  /** The first name a file takes from a package that does not give it. Worked out once per unit. */
  missing(unit: Unit, specifier: string): string | undefined {
    const known = this.#missing.get(unit) ?? this.#findMissing(unit);
    this.#missing.set(unit, known);
    return known.find((use) => use.path === specifier)?.name;
  }

  #findMissing(unit: Unit): readonly Use[] {
    const resolved = new Map(unit.externals.map((one) => [one.specifier, one.resolved]));
    return linksOf(unit.code, true).uses.filter(({ path, name }) => {
      const namespace = this.#loaded.get(resolved.get(path) ?? '')?.namespace;
      return namespace !== undefined && !(name in namespace);
    });
  }

  async #load(resolved: string): Promise<Exports> {
    if (resolved === 'hence' || resolved.startsWith('hence/')) return this.#ofHost(resolved);
    const late = () => new Fault('timeout', `it did not finish loading in ${this.#timeoutMs} ms`);
    return await withDeadline<Exports>(import(resolved), this.#timeoutMs, late);
  }

  #ofHost(specifier: string): Exports {
    const module = this.#host[specifier];
    if (typeof module === 'object' && module !== null) return module as Exports;
    throw new Fault('not-found', `the runtime has no module ${specifier}`);
  }
}

/** An ES module as compiled code expects it from `require`. */
function facadeOf(namespace: Exports): object {
  const facade = Object.defineProperty({}, '__esModule', { value: true });
  for (const name of Object.keys(namespace)) {
    if (name === '__esModule') continue;
    Object.defineProperty(facade, name, { enumerable: true, get: () => namespace[name] });
  }
  return facade;
}

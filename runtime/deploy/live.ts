import type { Graph } from './graph.ts';
import type { DeployedService, PreparedService, Root, Transaction, Unit } from './unit.ts';

/** A service as it serves now. */
export interface LiveService extends DeployedService {
  /** ISO 8601. */
  readonly deployedAt: string;
  readonly about: unknown;
  /** Newest first, the current one included. */
  readonly history: readonly Deployment[];
}

export interface Deployment {
  readonly version: number;
  readonly hash: string;
  readonly at: string;
}

interface LiveRoot {
  readonly root: Root;
  readonly services: readonly PreparedService[];
  /** Every unit it was evaluated with, as it was then. */
  readonly units: ReadonlyMap<string, Unit>;
  readonly transaction: number;
}

interface Layer {
  readonly units: Map<string, Unit>;
  readonly roots: Root[];
}

const longestHistory = 20;

/** What all workers run now. */
export class Live {
  readonly #roots = new Map<string, LiveRoot>();
  /** The hash of the newest unit that workers hold, by path. */
  readonly #committed = new Map<string, string>();
  /** Counts on after a file went and came back. */
  readonly #versions = new Map<string, number>();
  readonly #history = new Map<string, Deployment[]>();

  has(path: string): boolean {
    return this.#roots.has(path);
  }

  paths(): Iterable<string> {
    return this.#roots.keys();
  }

  hashOf(path: string): string | undefined {
    return this.#roots.get(path)?.root.hash;
  }

  nextVersion(file: string): number {
    return (this.#versions.get(file) ?? 0) + 1;
  }

  namesOf(path: string): readonly string[] {
    return this.#roots.get(path)?.services.map((service) => service.name) ?? [];
  }

  ownerOf(name: string): string | undefined {
    for (const [path, live] of this.#roots) {
      if (live.services.some((service) => service.name === name)) return path;
    }
    return undefined;
  }

  /** True when workers hold another version of this unit, or none. */
  isNews(unit: Unit): boolean {
    return this.#committed.get(unit.path) !== unit.hash;
  }

  /** Units that workers hold and no file is left for. */
  unneeded(graph: Graph): string[] {
    return [...this.#committed.keys()].filter((path) => graph.get(path) === undefined);
  }

  commit(
    transaction: Transaction,
    roots: readonly Root[],
    services: ReadonlyMap<string, readonly PreparedService[]>,
    graph: Graph,
  ): void {
    const at = new Date().toISOString();
    for (const path of transaction.undeploy) this.#roots.delete(path);
    for (const path of transaction.removed) this.#committed.delete(path);
    for (const root of roots) {
      const units = unitsBelow(graph, root.path);
      for (const unit of units.values()) this.#committed.set(unit.path, unit.hash);
      const own = services.get(root.path) ?? [];
      this.#roots.set(root.path, { root, services: own, units, transaction: transaction.id });
      this.#versions.set(root.file, root.version);
      for (const { name } of own) {
        const history = [
          { version: root.version, hash: root.hash, at },
          ...(this.#history.get(name) ?? []),
        ];
        this.#history.set(name, history.slice(0, longestHistory));
      }
    }
  }

  services(): LiveService[] {
    const found: LiveService[] = [];
    for (const { root, services } of this.#roots.values()) {
      for (const { name, about } of services) {
        const history = this.#history.get(name) ?? [];
        const { file, version, hash } = root;
        found.push({ name, file, version, hash, about, history, deployedAt: history[0]?.at ?? '' });
      }
    }
    return found.sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  /**
   * What a worker that starts now has to load, in this order, to be as the others are. It is one
   * transaction, but for a file that kept an old version of a helper when others took the new one.
   */
  transactions(nextId: () => number): Transaction[] {
    const layers: Layer[] = [];
    const oldestFirst = [...this.#roots.values()].sort((a, b) => a.transaction - b.transaction);
    for (const { root, units } of oldestFirst) {
      const last = layers.at(-1);
      const fresh: Layer = { units: new Map(), roots: [] };
      const layer = last !== undefined && fits(last.units, units) ? last : fresh;
      if (layer === fresh) layers.push(fresh);
      for (const unit of units.values()) layer.units.set(unit.path, unit);
      layer.roots.push(root);
    }
    return layers.map(({ units, roots }) => ({
      id: nextId(),
      units: [...units.values()],
      removed: [],
      evaluate: [...units.keys()],
      roots,
      undeploy: [],
    }));
  }
}

/** Every unit a root is made of. */
export function unitsBelow(graph: Graph, root: string): Map<string, Unit> {
  const units = new Map<string, Unit>();
  for (const path of graph.below([root])) {
    const unit = graph.get(path)?.compiled?.unit;
    if (unit !== undefined) units.set(path, unit);
  }
  return units;
}

function fits(layer: ReadonlyMap<string, Unit>, units: ReadonlyMap<string, Unit>): boolean {
  for (const [path, unit] of units) {
    const there = layer.get(path);
    if (there !== undefined && there.hash !== unit.hash) return false;
  }
  return true;
}

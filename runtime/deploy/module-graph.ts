import type { ModuleRecord } from './module-record.ts';
import type { Unit } from './unit.ts';

export interface LinkOptions {
  /** The newest unit of every file. */
  readonly units: ReadonlyMap<string, Unit>;
  /** The record in use of every file. */
  readonly live: ReadonlyMap<string, ModuleRecord>;
  readonly roots: readonly string[];
  /** To evaluate afresh in any case. */
  readonly evaluate: readonly string[];
  readonly create: (unit: Unit) => ModuleRecord;
}

/**
 * Gives every file the roots reach a record: a new one where it or anything below it changed, else
 * the one in use. So no root ever sees two versions of a file, whatever failed before.
 */
export function linkRoots(options: LinkOptions): ReadonlyMap<string, ModuleRecord> {
  const reached = reach(options.roots, options.units);
  const fresh = freshPaths(reached, options);
  const records = new Map<string, ModuleRecord>();
  for (const unit of reached.values()) {
    const record = fresh.has(unit.path) ? options.create(unit) : options.live.get(unit.path);
    if (record) records.set(unit.path, record);
  }
  for (const path of fresh) link(records, path);
  return records;
}

/** A record and all it can reach, dependents before what they depend on. */
export function closureOf(root: ModuleRecord): readonly ModuleRecord[] {
  const closure = new Set([root]);
  for (const record of closure) for (const dep of record.deps.values()) closure.add(dep);
  return [...closure];
}

function reach(
  roots: readonly string[],
  units: ReadonlyMap<string, Unit>,
): ReadonlyMap<string, Unit> {
  const reached = new Map<string, Unit>();
  const add = (path: string): void => {
    const unit = units.get(path);
    if (unit) reached.set(path, unit);
  };
  for (const root of roots) add(root);
  for (const unit of reached.values()) for (const path of unit.imports) add(path);
  return reached;
}

function freshPaths(
  reached: ReadonlyMap<string, Unit>,
  { live, evaluate }: LinkOptions,
): ReadonlySet<string> {
  const asked = new Set(evaluate);
  const importers = new Map<string, string[]>();
  const fresh = new Set<string>();
  for (const unit of reached.values()) {
    if (asked.has(unit.path) || isStale(unit, live)) fresh.add(unit.path);
    for (const path of unit.imports) {
      const list = importers.get(path);
      if (list) list.push(unit.path);
      else importers.set(path, [unit.path]);
    }
  }
  for (const path of fresh) for (const importer of importers.get(path) ?? []) fresh.add(importer);
  return fresh;
}

/** A root that failed keeps old records; they must not meet newer ones through another root. */
function isStale(unit: Unit, live: ReadonlyMap<string, ModuleRecord>): boolean {
  const record = live.get(unit.path);
  if (!record || record.state === 'failed') return true;
  if (record.unit.hash !== unit.hash || record.unit.code !== unit.code) return true;
  return unit.imports.some((path) => record.deps.get(path) !== live.get(path));
}

function link(records: ReadonlyMap<string, ModuleRecord>, path: string): void {
  const record = records.get(path);
  for (const dep of record?.unit.imports ?? []) {
    const target = records.get(dep);
    if (target) record?.link(dep, target);
  }
}

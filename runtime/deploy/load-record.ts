import type { Externals } from './externals.ts';
import type { ModuleRecord } from './module-record.ts';
import type { Unit } from './unit.ts';

/**
 * Evaluates a record in the order its parts need: packages, which only load asynchronously, then
 * files with a top-level await, then the rest as `require` reaches it.
 */
export async function loadRecord(record: ModuleRecord, externals: Externals): Promise<unknown> {
  const pending = pendingRecords(record);
  // One at a time, so that whoever watches knows which root loads what.
  for (const { unit } of pending) await preload(unit, externals);
  for (const waiting of pending) if (waiting.unit.format === 'async') await waiting.load();
  return record.load();
}

/** What it imports statically, directly or not, and is not evaluated yet: dependencies first. */
function pendingRecords(root: ModuleRecord): readonly ModuleRecord[] {
  const seen = new Set<ModuleRecord>();
  const ordered: ModuleRecord[] = [];
  const visit = (record: ModuleRecord): void => {
    if (seen.has(record) || record.state !== 'linked') return;
    seen.add(record);
    for (const [path, dep] of record.deps) if (!onlyDynamic(record.unit, path)) visit(dep);
    ordered.push(record);
  };
  visit(root);
  return ordered;
}

async function preload(unit: Unit, externals: Externals): Promise<void> {
  for (const { specifier, resolved } of unit.externals) {
    if (externals.has(resolved) || onlyDynamic(unit, specifier)) continue;
    await externals.preload(resolved);
  }
}

/** Imported by nothing but `import()`: it loads when that runs, if ever. */
function onlyDynamic(unit: Unit, specifier: string): boolean {
  const quoted = JSON.stringify(specifier);
  return unit.code.includes(`__import(${quoted}`) && !unit.code.includes(`require(${quoted})`);
}

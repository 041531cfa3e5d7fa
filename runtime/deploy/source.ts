import type { DeployFailure } from './unit.ts';

/** The bytes of one file, as they passed the stability check. */
export interface Source {
  /** Its identity: where it was found, which for a link is the link. */
  readonly path: string;
  /** Where the bytes are. */
  readonly real: string;
  /** As people see it. */
  readonly file: string;
  readonly bytes: Buffer;
  /** SHA-256 of the bytes, in hex. */
  readonly hash: string;
}

/** Either a source, or why there is none. */
export type Reading =
  | { readonly source: Source }
  | { readonly failure: DeployFailure }
  | { readonly absent: true };

/** Files that changed together. */
export interface Batch {
  readonly changed: ReadonlyMap<string, Source>;
  readonly removed: ReadonlySet<string>;
  /** Files that exist and cannot be used, by path. */
  readonly refused: ReadonlyMap<string, DeployFailure>;
  /** When the first of them was noticed, in ms since the epoch. */
  readonly since: number;
}

/** One batch after another, as one: what is newer wins. */
export function mergeBatches(older: Batch | undefined, newer: Batch): Batch {
  if (older === undefined) return newer;
  const changed = new Map(older.changed);
  const removed = new Set(older.removed);
  const refused = new Map(older.refused);
  for (const path of [...newer.changed.keys(), ...newer.removed, ...newer.refused.keys()]) {
    changed.delete(path);
    removed.delete(path);
    refused.delete(path);
  }
  for (const [path, source] of newer.changed) changed.set(path, source);
  for (const path of newer.removed) removed.add(path);
  for (const [path, failure] of newer.refused) refused.set(path, failure);
  return { changed, removed, refused, since: Math.min(older.since, newer.since) };
}

export function emptyBatch(since: number): Batch {
  return { changed: new Map(), removed: new Set(), refused: new Map(), since };
}

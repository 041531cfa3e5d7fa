import { createHash } from 'node:crypto';
import { lstatSync, realpathSync, type Stats, statSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { fileKind } from './file-kind.ts';

/** Files larger than this are refused: 1 MB. */
const maxFileBytes = 1_048_576;

/** What tells one version of a file from another without reading it. */
export interface Signature {
  /** Where the bytes are, links followed. */
  readonly real: string;
  readonly mtimeMs: number;
  readonly ctimeMs: number;
  readonly size: number;
  readonly ino: number;
}

export type Snapshot =
  | { readonly kind: 'file'; readonly bytes: Buffer; readonly hash: string }
  | { readonly kind: 'refused'; readonly reason: string }
  /** It changed while it was read. */
  | { readonly kind: 'moving' };

/** The real paths of folders, kept for one pass over many files. */
export type Folders = Map<string, string>;

/** Undefined when there is no such file. Synchronous: 2-4 us, and the answers of one tick belong together. */
export function signatureOf(path: string, folders: Folders = new Map()): Signature | undefined {
  try {
    const own = lstatSync(path, { throwIfNoEntry: false });
    if (own === undefined) return undefined;
    if (own.isSymbolicLink()) {
      const real = realpathSync.native(path);
      return toSignature(real, statSync(real));
    }
    return toSignature(join(realFolder(dirname(path), folders), basename(path)), own);
  } catch {
    // A link to nowhere, a loop of links, or gone between two calls.
    return undefined;
  }
}

function toSignature(real: string, stats: Stats): Signature | undefined {
  if (!stats.isFile()) return undefined;
  const { mtimeMs, ctimeMs, size, ino } = stats;
  return { real, mtimeMs, ctimeMs, size, ino };
}

function realFolder(folder: string, folders: Folders): string {
  const known = folders.get(folder);
  if (known !== undefined) return known;
  const real = realpathSync.native(folder);
  folders.set(folder, real);
  return real;
}

export function sameSignature(a: Signature, b: Signature): boolean {
  return (
    a.mtimeMs === b.mtimeMs &&
    a.ctimeMs === b.ctimeMs &&
    a.size === b.size &&
    a.ino === b.ino &&
    a.real === b.real
  );
}

/** Reads what `before` describes: the bytes count only if the file is the same afterwards. */
export async function readSnapshot(path: string, before: Signature): Promise<Snapshot> {
  if (before.size > maxFileBytes) return refused(`is larger than ${maxFileBytes} bytes`);
  let bytes: Buffer;
  try {
    bytes = await readFile(path);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? 'unknown error';
    if (code === 'ENOENT') return { kind: 'moving' };
    return refused(`cannot be read: ${code}`);
  }
  const after = signatureOf(path);
  if (after === undefined || !sameSignature(before, after) || bytes.length !== after.size) {
    return { kind: 'moving' };
  }
  const reason = refusal(path, bytes);
  if (reason !== undefined) return refused(reason);
  return { kind: 'file', bytes, hash: sha256(bytes) };
}

/** Why these bytes cannot be a source file; undefined when they can. */
export function refusal(path: string, bytes: Buffer): string | undefined {
  if (bytes.length > maxFileBytes) return `is larger than ${maxFileBytes} bytes`;
  if (bytes.includes(0)) return 'is a binary file: it has NUL bytes';
  let text: string;
  try {
    text = decode(bytes);
  } catch {
    return 'is not valid UTF-8: save it as UTF-8';
  }
  if (fileKind(path) !== 'text' && text.trim() === '') return 'is empty';
  return undefined;
}

/** UTF-8 to text, without the byte order mark. */
export function decode(bytes: Buffer): string {
  return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
}

export function sha256(data: string | Buffer): string {
  return createHash('sha256').update(data).digest('hex');
}

function refused(reason: string): Snapshot {
  return { kind: 'refused', reason };
}

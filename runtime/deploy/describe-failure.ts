import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { Fault } from '../core/fault.ts';
import { codeFrame } from './code-frame.ts';
import type { MappedSource, Place, SourceMapStore } from './source-maps.ts';
import type { DeployFailure, FailureKind, Root } from './unit.ts';

/** A failure as it leaves a worker: with the root that must be left out. */
export type RootFailure = DeployFailure & { readonly path: string };

/** What was thrown while a root was prepared, with its place in the source where there is one. */
export async function describeFailure(
  root: Root,
  kind: FailureKind,
  thrown: unknown,
  sourceMaps: SourceMapStore,
): Promise<RootFailure> {
  const place = sourceMaps.placeOf(thrown);
  const message = messageOf(thrown);
  const failure = { path: root.path, file: root.file, kind, message };
  return place ? { ...failure, ...(await describePlace(place)) } : failure;
}

/** What a failure tells of its place; the lines around it if the source is still the same. */
export async function describePlace({
  source,
  line,
  column,
}: Place): Promise<Pick<DeployFailure, 'file' | 'line' | 'column' | 'frame'>> {
  const text = await sourceText(source);
  const frame = text === undefined ? {} : { frame: codeFrame(text, line, column) };
  return { file: source.file, line, column, ...frame };
}

function messageOf(thrown: unknown): string {
  if (!(thrown instanceof Error)) return `thrown: ${String(thrown)}`;
  const { name, message } = thrown;
  return Fault.is(thrown) || name === 'Error' ? message : `${name}: ${message}`;
}

/** From the map if it carries the source, else from the file if that is still the same. */
async function sourceText({ path, hash, map }: MappedSource): Promise<string | undefined> {
  const { sources, sourcesContent }: SourceMapText = JSON.parse(map);
  const alone = sources?.length === 1;
  const carried = alone ? sourcesContent?.[0] : undefined;
  if (carried) return carried;
  try {
    const bytes = await readFile(path);
    const same = createHash('sha256').update(bytes).digest('hex').startsWith(hash);
    // With JSON inlined the hash is over that too, and says nothing of this file alone.
    return same || !alone ? bytes.toString() : undefined;
  } catch {
    return undefined; // gone meanwhile: the place is still worth telling
  }
}

interface SourceMapText {
  readonly sources?: readonly string[];
  readonly sourcesContent?: readonly (string | null)[];
}

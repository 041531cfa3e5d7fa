import type { BuildFailure, Message } from 'esbuild';
import { codeFrame } from './code-frame.ts';
import { importProblem } from './resolver.ts';
import { decode } from './snapshot.ts';
import type { Source } from './source.ts';
import type { DeployFailure } from './unit.ts';

export function isBuildFailure(error: unknown): error is BuildFailure {
  return error instanceof Error && 'errors' in error && Array.isArray(error.errors);
}

/** esbuild's own process died: its calls fail until it is stopped, and then it starts again. */
export function isCompilerGone(error: unknown): boolean {
  return (
    error instanceof Error &&
    /service (?:was stopped|is no longer running)|EPIPE/.test(error.message)
  );
}

export function hasTopLevelAwait(failure: BuildFailure): boolean {
  return failure.errors.some((error) => error.text.startsWith('Top-level await'));
}

/** The first of esbuild's errors, as ours. */
export function compileFailure(
  source: Source,
  inlined: ReadonlyMap<string, Source>,
  errors: readonly Message[],
): DeployFailure {
  const [error] = errors;
  const isImport = error?.detail === importProblem;
  const kind = isImport ? 'import' : 'compile';
  const text = error?.text ?? 'it does not compile';
  const message = isImport ? `${source.file} imports what it cannot have: ${text}` : text;
  const location = error?.location;
  if (location === undefined || location === null) return { file: source.file, kind, message };
  const line = location.line;
  const column = columnOf(location.lineText, location.column);
  const at = locate(source, inlined, location.file);
  return {
    file: at.file,
    kind,
    message,
    line,
    column,
    frame: codeFrame(decode(at.bytes), line, column),
  };
}

/** An error is in the file itself, or in JSON that it inlines. */
function locate(source: Source, inlined: ReadonlyMap<string, Source>, file: string): Source {
  for (const other of inlined.values()) if (other.file === file) return other;
  return source;
}

/** esbuild counts UTF-8 bytes from 0; people and editors count characters from 1. */
function columnOf(lineText: string, bytes: number): number {
  return Buffer.from(lineText).subarray(0, bytes).toString().length + 1;
}

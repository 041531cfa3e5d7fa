import { findSourceMap, SourceMap, type SourceMapPayload } from 'node:module';
import { linesBefore } from './evaluator.ts';

/** What is needed to find a place of evaluated code in its source. */
export interface MappedSource {
  /** Absolute path of the source. */
  readonly path: string;
  /** As people see it: `services/pushover.ts`. */
  readonly file: string;
  /** Hash of the source bytes. */
  readonly hash: string;
  /** Source map, JSON. */
  readonly map: string;
}

/** A place in a source. Lines and columns count from 1. */
export interface Place {
  readonly source: MappedSource;
  readonly line: number;
  readonly column: number;
}

interface Entry {
  readonly source: MappedSource;
  parsed: SourceMap | undefined;
  retired: boolean;
}

type Prepare = (error: Error, frames: NodeJS.CallSite[]) => unknown;

const rawPlace = /(hence:\/\/\/[^\s()]+\?v=\d+):(\d+):(\d+)/;
// esbuild calls a class that names itself `_Foo` inside; the author knows it as `Foo`.
const innerName = /^((?:async )?(?:new )?)_(?=[A-Z])/;

/** Source maps of evaluated code: of all that is in use, and of the last generations of each file. */
export class SourceMapStore {
  readonly #entries = new Map<string, Entry>();
  readonly #byFile = new Map<string, Set<string>>();
  readonly #places = new WeakMap<object, Place>();
  readonly #keep: number;

  /** @param keep generations kept per file after they went out of use */
  constructor(keep = 5) {
    this.#keep = keep;
  }

  get size(): number {
    return this.#entries.size;
  }

  add(url: string, source: MappedSource): void {
    this.#entries.set(url, { source, parsed: undefined, retired: false });
    const urls = this.#byFile.get(source.file) ?? new Set();
    this.#byFile.set(source.file, urls.add(url));
  }

  /** The code is out of use; its errors may still be on their way. */
  retire(url: string): void {
    const entry = this.#entries.get(url);
    if (!entry) return;
    entry.retired = true;
    const urls = this.#byFile.get(entry.source.file) ?? new Set();
    for (const old of urls) {
      if (urls.size <= this.#keep) break;
      if (this.#entries.get(old)?.retired) this.drop(old);
    }
  }

  /** The code never came into use. */
  drop(url: string): void {
    const entry = this.#entries.get(url);
    if (!entry) return;
    this.#entries.delete(url);
    const urls = this.#byFile.get(entry.source.file);
    urls?.delete(url);
    if (urls?.size === 0) this.#byFile.delete(entry.source.file);
  }

  sourceOf(url: string): MappedSource | undefined {
    return this.#entries.get(url)?.source;
  }

  /** Where a place of evaluated code is in its source; lines and columns as stack frames count them. */
  locate(url: string, line: number, column: number): Place | undefined {
    const entry = this.#entries.get(url);
    if (!entry) return undefined;
    entry.parsed ??= new SourceMap(JSON.parse(entry.source.map) as SourceMapPayload);
    const found = locateIn(entry.parsed, line, column);
    return found && { source: entry.source, ...found };
  }

  /** The innermost place of user code in an error's stack. */
  placeOf(thrown: unknown): Place | undefined {
    if (typeof thrown !== 'object' || thrown === null) return undefined;
    try {
      const stack: unknown = Reflect.get(thrown, 'stack');
      const known = this.#places.get(thrown);
      if (known || typeof stack !== 'string') return known;
      const raw = rawPlace.exec(stack);
      return raw?.[1] ? this.locate(raw[1], Number(raw[2]), Number(raw[3])) : undefined;
    } catch {
      return undefined; // a getter of the author's own
    }
  }

  /** Frames on original lines; `own` when one of them is of user code. */
  format(error: Error, frames: readonly NodeJS.CallSite[]): { lines: string[]; own: boolean } {
    let own = false;
    const lines = frames.map((frame) => {
      const line = this.#formatOwn(error, frame);
      if (line !== undefined) own = true;
      return line ?? formatCompiled(frame) ?? String(frame);
    });
    return { lines, own };
  }

  #formatOwn(error: Error, frame: NodeJS.CallSite): string | undefined {
    const url = frame.getScriptNameOrSourceURL();
    const source = url ? this.sourceOf(url) : undefined;
    if (!url || !source) return undefined;
    const [line, column] = [frame.getLineNumber() ?? 0, frame.getColumnNumber() ?? 0];
    const place = this.locate(url, line, column);
    if (place && !this.#places.has(error)) this.#places.set(error, place);
    const shown = place ? `${source.file}:${place.line}:${place.column}` : source.file;
    const text = String(frame).replace(`${url}:${line}:${column}`, () => shown);
    // The top level of the module: V8 calls it eval.
    return text === `eval (${shown})` ? shown : text.replace(innerName, '$1');
  }
}

/** The place in the source of a place in evaluated code, as stack frames count it. */
export function locateIn(
  map: SourceMap,
  line: number,
  column: number,
): Pick<Place, 'line' | 'column'> | undefined {
  if (line <= linesBefore) return undefined;
  const found = map.findEntry(line - 1 - linesBefore, column - 1);
  if (!('originalLine' in found) || found.originalLine === undefined) return undefined;
  return { line: found.originalLine + 1, column: found.originalColumn + 1 };
}

/**
 * Makes stack traces of evaluated code show `services/pushover.ts:14:22`.
 * @returns puts back what was there before
 */
export function installSourceMaps(store: SourceMapStore): () => void {
  const previous: Prepare | undefined = Error.prepareStackTrace;
  // Node's own hook knows no source maps: where they are enabled, that is done behind it.
  const replaces = previous === undefined || previous.name === 'ErrorPrepareStackTrace';
  const prepare: Prepare = (error, frames) => {
    const trace = formatSafely(store, error, frames);
    if (!trace.own && !replaces && previous) return previous(error, frames);
    return [header(error, previous), ...trace.lines.map((line) => `    at ${line}`)].join('\n');
  };
  Error.prepareStackTrace = prepare;
  return () => {
    // Someone who came later chains to us: taking theirs away would be worse than staying.
    if (Error.prepareStackTrace !== prepare) return;
    if (previous) Error.prepareStackTrace = previous;
    else Reflect.deleteProperty(Error, 'prepareStackTrace');
  };
}

function formatSafely(
  store: SourceMapStore,
  error: Error,
  frames: readonly NodeJS.CallSite[],
): { lines: string[]; own: boolean } {
  try {
    return store.format(error, frames);
  } catch {
    // A trace on generated lines is better than an error about an error.
    return { lines: frames.map(String), own: false };
  }
}

/** Node's own hook knows best how its errors are headed; given no frames it says just that. */
function header(error: Error, previous: Prepare | undefined): string {
  try {
    const text = previous?.(error, []);
    return typeof text === 'string' ? text.trimEnd() : Error.prototype.toString.call(error);
  } catch {
    return '<error>';
  }
}

/** Our own compiled files, when Node runs with `--enable-source-maps`: this hook is in front of it. */
function formatCompiled(frame: NodeJS.CallSite): string | undefined {
  const file = frame.getFileName();
  const [line, column] = [frame.getLineNumber() ?? 0, frame.getColumnNumber() ?? 0];
  const map = file && line > 0 ? findSourceMap(file) : undefined;
  const found = map?.findEntry(line - 1, column - 1);
  if (!file || !found || !('originalLine' in found)) return undefined;
  const shown = `${found.originalSource}:${found.originalLine + 1}:${found.originalColumn + 1}`;
  return String(frame).replace(`${file}:${line}:${column}`, () => shown);
}

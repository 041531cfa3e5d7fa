import { SourceMap, type SourceMapPayload } from 'node:module';
import type { Unit } from './unit.ts';

/** A name that a file takes from another. */
export interface Use {
  /** As it stands in `require("...")`. */
  readonly path: string;
  readonly name: string;
  /** Where in the unit's code. */
  readonly offset: number;
}

/** A name that a file only passes on. */
interface Alias {
  readonly path: string;
  readonly name: string;
}

/** What a file gives and takes; plain data, so that it can be kept on disk. */
export interface Links {
  /** `null` for CommonJS: unknown until it runs. */
  readonly exports: Readonly<Record<string, Alias | null>> | null;
  /** Files of which it passes everything on. */
  readonly stars: readonly string[];
  readonly uses: readonly Use[];
}

/** Reads the links off esbuild's CommonJS, whose shape is fixed for a given version. */
export function linksOf(code: string, isModule: boolean): Links {
  const names = importNames(code);
  const [, own] = /^module\.exports = __toCommonJS\(([\w$]+)\);$/m.exec(code) ?? [];
  const block = own === undefined ? undefined : exportBlock(code, own);
  const exports: Record<string, Alias | null> = {};
  for (const [, word, quoted, value = ''] of (block?.text ?? '').matchAll(
    /^ {2}(?:([\w$]+)|("(?:[^"\\]|\\.)*")): \(\) => (.+?),?$/gm,
  )) {
    const name = word ?? unquote(quoted ?? '""');
    const [, from = '', passed = ''] = /^([\w$]+)\.([\w$]+)$/.exec(value) ?? [];
    const path = names.get(from);
    exports[name] = path === undefined ? null : { path, name: passed };
  }
  const stars: string[] = [];
  for (const [, target, quoted = '""'] of code.matchAll(
    /^__reExport\(([\w$]+), (?:__toESM\()?require\(("(?:[^"\\]|\\.)*")\)/gm,
  )) {
    if (target === own) stars.push(unquote(quoted));
  }
  return { exports: isModule ? exports : null, stars, uses: usesOf(code, names, block) };
}

interface Block {
  readonly start: number;
  readonly end: number;
  readonly text: string;
}

function exportBlock(code: string, own: string): Block | undefined {
  const start = code.indexOf(`\n__export(${own}, {`);
  const end = start < 0 ? -1 : code.indexOf('\n});', start);
  return end < 0 ? undefined : { start, end, text: code.slice(start, end) };
}

/** esbuild's own variables for imports: `var import_helper = require("...")`. */
function importNames(code: string): Map<string, string> {
  const names = new Map<string, string>();
  for (const [, name = '', quoted = '""'] of code.matchAll(
    /^var (import_[\w$]+) = (?:__toESM\()?require\(("(?:[^"\\]|\\.)*")\)/gm,
  )) {
    names.set(name, unquote(quoted));
  }
  return names;
}

function usesOf(code: string, names: ReadonlyMap<string, string>, block: Block | undefined): Use[] {
  const uses = new Map<string, Use>();
  for (const match of code.matchAll(/\b(import_[\w$]+)\.([A-Za-z_$][\w$]*)/g)) {
    const [, variable = '', name = ''] = match;
    const path = names.get(variable);
    const passedOn = block !== undefined && match.index > block.start && match.index < block.end;
    if (path === undefined || passedOn || uses.has(`${path}\0${name}`)) continue;
    uses.set(`${path}\0${name}`, { path, name, offset: match.index });
  }
  return [...uses.values()];
}

/** The first name a file takes from another that does not give it. */
export function missingExport(
  links: Links,
  linksAt: (path: string) => Links | undefined,
): Use | undefined {
  return links.uses.find((use) => !gives(use.path, use.name, linksAt, new Set()));
}

function gives(
  path: string,
  name: string,
  linksAt: (path: string) => Links | undefined,
  seen: Set<string>,
): boolean {
  const links = linksAt(path);
  // A package, or a file that failed for a reason of its own.
  if (links === undefined || links.exports === null) return true;
  if (seen.has(`${path}\0${name}`)) return false;
  seen.add(`${path}\0${name}`);
  if (Object.hasOwn(links.exports, name)) {
    const alias = links.exports[name] ?? null;
    return alias === null || gives(alias.path, alias.name, linksAt, seen);
  }
  return name !== 'default' && links.stars.some((star) => gives(star, name, linksAt, seen));
}

/** Line and column, from 1, in the source, of an offset in the unit's code. */
export function placeOf(unit: Unit, offset: number): { line: number; column: number } | undefined {
  const before = unit.code.slice(0, offset).split('\n');
  const map = new SourceMap(JSON.parse(unit.map) as SourceMapPayload);
  const found = map.findEntry(before.length - 1, before.at(-1)?.length ?? 0);
  if (!('originalLine' in found)) return undefined;
  return { line: found.originalLine + 1, column: found.originalColumn + 1 };
}

/** A string as esbuild prints it: JSON, but for `\x1B` and `\u{1F600}`. */
export function unquote(quoted: string): string {
  const json = quoted
    .replace(/\\x([0-9a-f]{2})/gi, '\\u00$1')
    .replace(/\\u\{([0-9a-f]+)\}/gi, (_, hex: string) =>
      String.fromCodePoint(Number.parseInt(hex, 16)),
    );
  return String(JSON.parse(json));
}

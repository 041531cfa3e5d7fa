import { realpathSync, type Stats, statSync } from 'node:fs';
import { dirname, extname, join, resolve } from 'node:path';

/** One import, as it was asked for. */
export interface Ask {
  readonly folder: string;
  readonly specifier: string;
}

const extensions = ['.tsx', '.ts', '.jsx', '.js', '.mts', '.mjs', '.cts', '.cjs', '.json'];

export function isRelative(specifier: string): boolean {
  return /^\.{0,2}\//.test(specifier) || specifier === '.' || specifier === '..';
}

/**
 * What all files that an import could mean have in common: the path without extension and `/index`.
 * When one of them comes or goes, the import is resolved again.
 */
export function stemOf(path: string): string {
  const extension = extname(path);
  const bare = extensions.includes(extension) ? path.slice(0, -extension.length) : path;
  return bare.endsWith('/index') ? bare.slice(0, -'/index'.length) : bare;
}

/** Tells, without esbuild, whether an import would still resolve as it did. Made anew for each pass. */
export class Fingerprints {
  readonly #known = new Map<string, string>();

  of(ask: Ask): string {
    const { folder, specifier } = ask;
    const key = isRelative(specifier) ? resolve(folder, specifier) : `${folder}\0${specifier}`;
    const known = this.#known.get(key);
    if (known !== undefined) return known;
    const print = isRelative(specifier) ? printOfPath(key) : printOfPackage(folder, specifier);
    this.#known.set(key, print);
    return print;
  }
}

function printOfPath(base: string): string {
  const stem = stemOf(base);
  const candidates = new Set([base, ...extensions.map((extension) => base + extension)]);
  for (const extension of extensions) candidates.add(stem + extension);
  if (statsOf(base)?.isDirectory()) {
    for (const extension of extensions) candidates.add(join(base, `index${extension}`));
    candidates.add(join(base, 'package.json'));
  }
  const present: string[] = [];
  for (const path of candidates) {
    const stats = statsOf(path);
    if (stats !== undefined) present.push(stats.isFile() ? realpathSync.native(path) : `${path}/`);
  }
  return present.join('\n');
}

/** The nearest folder of the package and the state of its manifest. */
function printOfPackage(from: string, specifier: string): string {
  const name = specifier
    .split('/')
    .slice(0, specifier.startsWith('@') ? 2 : 1)
    .join('/');
  for (let folder = from; ; folder = dirname(folder)) {
    const manifest = join(folder, 'node_modules', name, 'package.json');
    const stats = statsOf(manifest);
    if (stats !== undefined) {
      return `${realpathSync.native(manifest)} ${stats.mtimeMs} ${stats.size}`;
    }
    if (folder === dirname(folder)) return '';
  }
}

/** Also undefined below what is a file (ENOTDIR) or may not be looked at. */
function statsOf(path: string): Stats | undefined {
  try {
    return statSync(path, { throwIfNoEntry: false });
  } catch {
    return undefined;
  }
}

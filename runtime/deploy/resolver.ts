import { builtinModules, isBuiltin } from 'node:module';
import { dirname, resolve, sep } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Loader, OnResolveArgs, OnResolveResult, Plugin, PluginBuild } from 'esbuild';
import { displayPath, fileKind, isInside } from './file-kind.ts';
import { type Ask, isRelative, stemOf } from './resolution.ts';
import { decode } from './snapshot.ts';
import type { Reading, Source } from './source.ts';

export interface ResolverOptions {
  /** Real path. */
  readonly projectDir: string;
  /** The path under which a file is known: itself, or the link that leads to it. */
  readonly identify: (real: string) => string;
}

/** What a file turned out to import. */
export interface Found {
  /** User code. */
  readonly imports: Set<string>;
  /** Specifier to what a worker imports. */
  readonly externals: Map<string, string>;
  /** JSON and text, by path. */
  readonly inlined: Map<string, Source>;
  readonly asks: Map<string, Ask>;
  /** See `stemOf`. */
  readonly wants: Set<string>;
}

export function nothingFound(): Found {
  return {
    imports: new Set(),
    externals: new Map(),
    inlined: new Map(),
    asks: new Map(),
    wants: new Set(),
  };
}

/** What the deployer marks its own failures with, among the compiler's. */
export const importProblem = 'import';

const inner = Symbol('asked by us');
const hostModules = new Set(['hence', 'hence/testing']);
const builtins = new Set(builtinModules);
const loaders: Record<string, Loader> = {
  '.ts': 'ts',
  '.mts': 'ts',
  '.cts': 'ts',
  '.tsx': 'tsx',
  '.jsx': 'jsx',
  '.js': 'js',
  '.mjs': 'js',
  '.cjs': 'js',
};

/** Decides what each import means, and gives esbuild the bytes that were read: it reads no user file itself. */
export class Resolver {
  readonly #options: ResolverOptions;
  /** Packages do not move while we run, so their places are kept until the project's manifest changes. */
  readonly #packages = new Map<string, string>();

  constructor(options: ResolverOptions) {
    this.#options = options;
  }

  forgetPackages(): void {
    this.#packages.clear();
  }

  plugin(source: Source, found: Found, read: (path: string) => Promise<Reading>): Plugin {
    return {
      name: 'hence',
      setup: (build) => {
        build.onResolve({ filter: /.*/ }, (args) => {
          if (args.pluginData === inner) return undefined;
          if (args.kind === 'entry-point') return { path: source.real };
          return this.#resolve(build, args, found, read);
        });
        build.onLoad({ filter: /.*/ }, (args) => {
          if (args.path === source.real) return entry(source);
          return inline(found, args.path);
        });
      },
    };
  }

  async #resolve(
    build: PluginBuild,
    args: OnResolveArgs,
    found: Found,
    read: (path: string) => Promise<Reading>,
  ): Promise<OnResolveResult> {
    const host = ofHost(args.path);
    if (host !== undefined) return asExternal(args.path, host, found);
    found.asks.set(`${args.resolveDir}\0${args.path}`, {
      folder: args.resolveDir,
      specifier: args.path,
    });
    if (isRelative(args.path)) found.wants.add(stemOf(resolve(args.resolveDir, args.path)));
    const key = `${args.kind}\0${args.resolveDir}\0${args.path}`;
    const known = this.#packages.get(key);
    if (known !== undefined) return asExternal(args.path, known, found);
    const answer = await build.resolve(args.path, {
      kind: args.kind,
      importer: args.importer,
      resolveDir: args.resolveDir,
      pluginData: inner,
    });
    if (answer.errors.length > 0 || answer.external) return notFound(args.path);
    if (isPackage(answer.path) || !isInside(this.#options.projectDir, answer.path)) {
      if (isRelative(args.path) && !isPackage(answer.path)) return this.#outside(args.path);
      const resolved = pathToFileURL(answer.path).href;
      this.#packages.set(key, resolved);
      return asExternal(args.path, resolved, found);
    }
    return this.#userFile(args.path, answer.path, found, read);
  }

  async #userFile(
    specifier: string,
    real: string,
    found: Found,
    read: (path: string) => Promise<Reading>,
  ): Promise<OnResolveResult> {
    const path = this.#options.identify(real);
    found.wants.add(stemOf(real));
    const kind = fileKind(path);
    if (kind === 'code') {
      found.imports.add(path);
      return { path, external: true };
    }
    if (kind === undefined) {
      return problem(
        `"${specifier}" is neither code, JSON nor text: read it when the service runs`,
      );
    }
    const reading = await read(path);
    if ('source' in reading) {
      found.inlined.set(path, reading.source);
      return { path };
    }
    const file = displayPath(this.#options.projectDir, path);
    return problem('failure' in reading ? reading.failure.message : `${file} is gone`);
  }

  #outside(specifier: string): OnResolveResult {
    return problem(
      `"${specifier}" is outside of the project: only files in ${this.#options.projectDir} are deployed`,
    );
  }
}

/** The module that the process itself provides, if this is one. */
function ofHost(specifier: string): string | undefined {
  if (hostModules.has(specifier)) return specifier;
  if (!isBuiltin(specifier)) return undefined;
  return builtins.has(specifier) ? `node:${specifier}` : specifier;
}

function asExternal(specifier: string, resolved: string, found: Found): OnResolveResult {
  found.externals.set(specifier, resolved);
  return { path: specifier, external: true };
}

function isPackage(path: string): boolean {
  return path.includes(`${sep}node_modules${sep}`);
}

function notFound(specifier: string): OnResolveResult {
  if (isRelative(specifier)) return problem(`"${specifier}" does not exist`);
  if (/^[a-z]+:/i.test(specifier))
    return problem(`"${specifier}" cannot be imported: only files and packages can`);
  if (specifier.startsWith('hence/')) return problem(`"${specifier}" is not part of hence`);
  return problem(`package "${specifier}" is not installed: npm install it in the project`);
}

function problem(text: string): OnResolveResult {
  return { errors: [{ text, detail: importProblem }] };
}

function entry(source: Source): { contents: string; loader: Loader; resolveDir: string } {
  const extension = /\.[^.]+$/.exec(source.path)?.[0].toLowerCase() ?? '';
  return {
    contents: decode(source.bytes),
    loader: loaders[extension] ?? 'ts',
    resolveDir: dirname(source.real),
  };
}

function inline(found: Found, path: string): { contents: string; loader: Loader } | undefined {
  const source = found.inlined.get(path);
  if (source === undefined) return undefined;
  return { contents: decode(source.bytes), loader: fileKind(path) === 'json' ? 'json' : 'text' };
}

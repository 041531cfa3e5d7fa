import { init } from 'es-module-lexer';
import * as esbuild from 'esbuild';
import { asyncBody } from './async-body.ts';
import type { CompileCache } from './compile-cache.ts';
import {
  compileFailure,
  hasTopLevelAwait,
  isBuildFailure,
  isCompilerGone,
} from './compile-failure.ts';
import { type Links, linksOf } from './links.ts';
import { type ProjectSettings, readProjectSettings } from './project-settings.ts';
import { Fingerprints } from './resolution.ts';
import { type Found, nothingFound, Resolver, type ResolverOptions } from './resolver.ts';
import { rewriteCalls } from './rewrite.ts';
import { sha256 } from './snapshot.ts';
import type { Reading, Source } from './source.ts';
import type { DeployFailure, Unit } from './unit.ts';

export interface Compiled {
  readonly unit: Unit;
  readonly links: Links;
  /** Paths of JSON and text that are part of the unit. */
  readonly inlined: readonly string[];
  /** See `stemOf`: when such a file comes or goes, this file is compiled again. */
  readonly wants: readonly string[];
}

export type Compilation =
  | { readonly compiled: Compiled }
  | { readonly failure: DeployFailure; readonly wants: readonly string[] };

export type ReadFile = (path: string) => Promise<Reading>;

interface CacheEntry {
  readonly compiled: Compiled;
  /** Each import and what it depended on: see `Fingerprints`. */
  readonly asks: readonly (readonly [folder: string, specifier: string, print: string])[];
  readonly inlined: readonly (readonly [path: string, hash: string])[];
}

/** To be raised when the compiled form changes its meaning. */
const formatVersion = 1;
const mostBuilds = 8;

const buildOptions = {
  bundle: true,
  platform: 'node',
  target: 'node20',
  keepNames: true,
  sourcemap: 'external',
  sourcesContent: false,
  metafile: true,
  write: false,
  logLevel: 'silent',
  // Paths and names as they are written, not as `\xE4`.
  charset: 'utf8',
  // The same set as Node's own `import`; naming them turns esbuild's `module` condition off.
  conditions: ['node-addons', 'module-sync'],
  define: { 'import.meta': '__meta' },
} as const satisfies esbuild.BuildOptions;

/** Compiles each user file on its own, from bytes that were read once, and never reads it again. */
export class Compiler {
  readonly #projectDir: string;
  readonly #cache: CompileCache;
  readonly #resolver: Resolver;
  readonly #waiting: (() => void)[] = [];
  #building = 0;
  #settings: ProjectSettings;
  #fingerprints = new Fingerprints();
  #life = 0;
  #revival: Promise<void> = Promise.resolve();
  /** How many compilations asked esbuild rather than the cache. */
  builds = 0;

  constructor(options: ResolverOptions & { readonly cache: CompileCache }) {
    this.#projectDir = options.projectDir;
    this.#cache = options.cache;
    this.#resolver = new Resolver(options);
    this.#settings = readProjectSettings(options.projectDir);
  }

  get settings(): ProjectSettings {
    return this.#settings;
  }

  /** Starts esbuild's process, which takes 12-30 ms, before the first file needs it. */
  async start(): Promise<void> {
    await init;
    await this.#cache.open();
    await esbuild.transform('');
  }

  async stop(): Promise<void> {
    await this.#cache.flush();
    await esbuild.stop();
  }

  /** Forgets what imports resolved to: files may have come and gone. */
  nextPass(): void {
    this.#fingerprints = new Fingerprints();
  }

  /** After a change of package.json, a lockfile or the tsconfig. */
  async forgetProject(): Promise<void> {
    this.#settings = readProjectSettings(this.#projectDir);
    this.#resolver.forgetPackages();
    this.nextPass();
    await this.#cache.clear();
  }

  async compile(source: Source, read: ReadFile): Promise<Compilation> {
    const key = this.#keyOf(source);
    const cached = await this.#fromCache(key, read);
    if (cached !== undefined) return { compiled: cached };
    await this.#turn();
    try {
      this.builds++;
      return await this.#build(key, source, read);
    } finally {
      this.#building--;
      this.#waiting.shift()?.();
    }
  }

  #keyOf(source: Source): string {
    return sha256(
      JSON.stringify([
        formatVersion,
        esbuild.version,
        buildOptions,
        this.#settings.hash,
        this.#projectDir,
        source.path,
        source.real,
        source.hash,
      ]),
    );
  }

  async #fromCache(key: string, read: ReadFile): Promise<Compiled | undefined> {
    const entry = this.#cache.get(key) as CacheEntry | undefined;
    if (entry === undefined) return undefined;
    for (const [folder, specifier, print] of entry.asks) {
      if (this.#fingerprints.of({ folder, specifier }) !== print) return undefined;
    }
    for (const [path, hash] of entry.inlined) {
      const reading = await read(path);
      if (!('source' in reading) || reading.source.hash !== hash) return undefined;
    }
    return entry.compiled;
  }

  async #turn(): Promise<void> {
    while (this.#building >= mostBuilds) {
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
    this.#building++;
  }

  async #build(key: string, source: Source, read: ReadFile): Promise<Compilation> {
    const found = nothingFound();
    try {
      const compiled = await this.#withRevival(() => this.#compileOnce(source, found, read));
      this.#remember(key, compiled, found);
      return { compiled };
    } catch (error) {
      if (!isBuildFailure(error)) throw error;
      const failure = compileFailure(source, found.inlined, error.errors);
      return { failure, wants: [...found.wants] };
    }
  }

  async #compileOnce(source: Source, found: Found, read: ReadFile): Promise<Compiled> {
    try {
      return toCompiled(source, found, await this.#esbuild(source, found, read, 'cjs'), 'cjs');
    } catch (error) {
      if (!isBuildFailure(error) || !hasTopLevelAwait(error)) throw error;
      return toCompiled(source, found, await this.#esbuild(source, found, read, 'esm'), 'async');
    }
  }

  #esbuild(source: Source, found: Found, read: ReadFile, format: 'cjs' | 'esm'): Promise<Output> {
    const { tsconfig } = this.#settings;
    return esbuild.build({
      ...buildOptions,
      conditions: [...buildOptions.conditions],
      format,
      entryPoints: [source.real],
      absWorkingDir: this.#projectDir,
      outfile: `${this.#projectDir}/unit.js`,
      plugins: [this.#resolver.plugin(source, found, read)],
      ...(tsconfig === undefined ? { tsconfigRaw: '{}' } : { tsconfig }),
    });
  }

  /** esbuild's process may be killed, for its memory say: start it again and try once more. */
  async #withRevival<T>(work: () => Promise<T>): Promise<T> {
    const life = this.#life;
    try {
      return await work();
    } catch (error) {
      if (!isCompilerGone(error)) throw error;
    }
    // Builds that failed together share one restart, so that none stops what another started.
    if (life === this.#life) {
      this.#life++;
      this.#revival = esbuild.stop();
    }
    await this.#revival;
    return work();
  }

  #remember(key: string, compiled: Compiled, found: Found): void {
    const asks = [...found.asks.values()].map(
      (ask) => [ask.folder, ask.specifier, this.#fingerprints.of(ask)] as const,
    );
    const inlined = [...found.inlined].map(([path, source]) => [path, source.hash] as const);
    this.#cache.put(key, { compiled, asks, inlined } satisfies CacheEntry);
  }
}

type Output = esbuild.BuildResult<{ write: false; metafile: true }>;

function toCompiled(
  source: Source,
  found: Found,
  output: Output,
  format: Unit['format'],
): Compiled {
  const text = output.outputFiles.find((file) => file.path.endsWith('.js'))?.text ?? '';
  const map = output.outputFiles.find((file) => file.path.endsWith('.map'))?.text ?? '';
  const rewritten = rewriteCalls(text);
  const isModule = Object.values(output.metafile.inputs).some((input) => input.format === 'esm');
  const { code, links } =
    format === 'async'
      ? asyncBody(rewritten)
      : { code: rewritten, links: linksOf(rewritten, isModule) };
  const kept = new Set(
    Object.values(output.metafile.outputs).flatMap((one) => one.imports.map((each) => each.path)),
  );
  const hashes = [source.hash, ...[...found.inlined.values()].map((one) => one.hash)];
  return {
    unit: {
      path: source.path,
      file: source.file,
      hash: (hashes.length === 1 ? source.hash : sha256(hashes.join())).slice(0, 12),
      format,
      code,
      // The async body has one line more, at its top.
      map: format === 'async' ? map.replace('"mappings": "', '"mappings": ";') : map,
      imports: [...found.imports].filter((path) => kept.has(path)),
      externals: [...found.externals]
        .filter(([specifier]) => kept.has(specifier))
        .map(([specifier, resolved]) => ({ specifier, resolved })),
    },
    links,
    inlined: [...found.inlined.keys()],
    wants: [...found.wants],
  };
}

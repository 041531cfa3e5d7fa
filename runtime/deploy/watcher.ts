import { type Dirent, lstatSync, readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { type FSWatcher, watch } from 'chokidar';
import { background } from '../core/background.ts';
import type { Logger } from '../log/logger.ts';
import { fileKind, isIgnored, isIgnoredName, isInside, isProjectFile } from './file-kind.ts';

export type WatchMode =
  /** The system's events, and the sweep behind them. */
  | 'events'
  /** chokidar looks at each file's times: for mounts that send no events. */
  | 'poll'
  /** Only the sweep: what is left when the system has no watches to give. */
  | 'sweep';

export interface WatcherOptions {
  /** Real paths. */
  readonly projectDir: string;
  readonly servicesDir: string;
  readonly mode?: WatchMode;
  readonly sweepMs?: number;
  readonly log: Logger;
  /** Called for a path that may have changed. */
  readonly touch: (path: string) => void;
  /** Touches what the sweep finds changed; called with every path there may be. */
  readonly compare: (paths: readonly string[]) => void;
  /** Paths known, and links among them. */
  readonly known: () => Iterable<string>;
  readonly links: () => readonly string[];
}

const pollMs = 100;
const sweepBatch = 200;
const noWatchesLeft = new Set(['ENOSPC', 'EMFILE', 'ENFILE']);

/** Hints that something happened to a file. None of them is needed: the sweep finds all that they miss. */
export class Watcher {
  readonly #options: WatcherOptions;
  /** One watcher each: chokidar does not watch a folder that it met below another one's depth. */
  readonly #watchers = new Map<string, FSWatcher>();
  readonly #folders = new Set<string>();
  #timer: NodeJS.Timeout | undefined;
  #mode: WatchMode;
  #started = false;
  #stopped = false;

  constructor(options: WatcherOptions) {
    this.#options = options;
    this.#mode = options.mode ?? 'events';
  }

  get mode(): WatchMode {
    return this.#mode;
  }

  /** Resolves when changes are noticed; sweeps once for what happened before. */
  async start(): Promise<void> {
    if (this.#mode !== 'sweep') {
      this.#started = true;
      this.#open(this.#options.servicesDir, {});
      for (const folder of this.#folders) this.#open(folder, { depth: 0 });
      await Promise.all([...this.#watchers.values()].map(ready));
    }
    await this.sweep();
    this.#again();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#timer);
    await this.#close();
  }

  /** Also watches the folders of these files, as far as they are outside of the services folder. */
  include(paths: Iterable<string>): void {
    const { projectDir, servicesDir } = this.#options;
    for (const path of paths) {
      const folder = dirname(path);
      if (folder !== projectDir && !isInside(projectDir, folder)) continue;
      if (
        isIgnored(projectDir, folder) ||
        folder === servicesDir ||
        isInside(servicesDir, path) ||
        this.#folders.has(folder)
      )
        continue;
      this.#folders.add(folder);
      if (this.#started && this.#mode !== 'sweep') this.#open(folder, { depth: 0 });
    }
  }

  /** Compares all files with what is known of them. */
  async sweep(): Promise<void> {
    const paths = new Set(await this.list());
    for (const folder of this.#folders) for (const path of filesIn(folder)) paths.add(path);
    for (const path of this.#options.known()) paths.add(path);
    const all = [...paths];
    for (let at = 0; at < all.length && !this.#stopped; at += sweepBatch) {
      this.#options.compare(all.slice(at, at + sweepBatch));
      await nextTurn();
    }
  }

  /** Every file under the services folder that could matter. Links to folders are not followed. */
  async list(): Promise<string[]> {
    const found: string[] = [];
    const folders = [this.#options.servicesDir];
    let seen = 0;
    for (let folder = folders.pop(); folder !== undefined; folder = folders.pop()) {
      if (++seen % 50 === 0) await nextTurn();
      for (const entry of entries(folder)) {
        if (isIgnoredName(entry.name)) continue;
        const path = join(folder, entry.name);
        if (entry.isDirectory()) folders.push(path);
        else if (fileKind(path) !== undefined) found.push(path);
      }
    }
    return found.sort();
  }

  #open(folder: string, more: { readonly depth?: number }): void {
    const { projectDir } = this.#options;
    const watcher = watch(folder, {
      ...more,
      atomic: false,
      ignoreInitial: true,
      ignorePermissionErrors: true,
      usePolling: this.#mode === 'poll',
      interval: pollMs,
      ignored: (path) => isIgnored(projectDir, path) || isFolderLink(path),
    });
    watcher.on('all', (event, path) => this.#notice(event, path));
    // What was written before it was ready sent no event.
    watcher.once('ready', () => {
      if (more.depth !== 0) return;
      const known = [...this.#options.known()].filter((path) => dirname(path) === folder);
      this.#options.compare([...filesIn(folder), ...known]);
    });
    watcher.on('error', (error) => this.#failed(error as NodeJS.ErrnoException));
    // What a folder of links leads to is swapped under an ignored name, as in Kubernetes' `..data`.
    watcher.on('raw', (_event, name) => {
      if (name?.startsWith('..'))
        for (const link of this.#options.links()) this.#options.touch(link);
    });
    this.#watchers.set(folder, watcher);
  }

  #notice(event: string, path: string): void {
    if (this.#stopped) return;
    if (event === 'unlinkDir') {
      for (const known of this.#options.known()) {
        if (isInside(path, known)) this.#options.touch(known);
      }
      return;
    }
    if (event === 'addDir') {
      // Files made at once with their folder send no events of their own now and then.
      for (const entry of entries(path)) this.#hint(join(path, entry.name));
      return;
    }
    this.#hint(path);
  }

  #hint(path: string): void {
    if (isIgnored(this.#options.projectDir, path)) return;
    if (fileKind(path) !== undefined || isProjectFile(path)) this.#options.touch(path);
  }

  #failed(error: NodeJS.ErrnoException): void {
    const { log, sweepMs = 2_000 } = this.#options;
    if (!noWatchesLeft.has(error.code ?? '')) {
      log.warn('watching a file failed', { reason: error.message });
      return;
    }
    if (this.#mode === 'sweep') return;
    this.#mode = 'sweep';
    log.warn('the system has no file watches left, so changes are found by looking', {
      everyMs: sweepMs,
      reason: error.message,
    });
    background(this.#close(), (reason) =>
      log.warn('a watcher did not close', { reason: String(reason) }),
    );
  }

  async #close(): Promise<void> {
    const watchers = [...this.#watchers.values()];
    this.#watchers.clear();
    await Promise.all(watchers.map((watcher) => watcher.close()));
  }

  #again(): void {
    if (this.#stopped) return;
    const { sweepMs = 2_000, log } = this.#options;
    this.#timer = setTimeout(() => {
      this.sweep()
        .catch((error: unknown) => log.error('the sweep failed', { reason: String(error) }))
        .finally(() => this.#again());
    }, sweepMs);
  }
}

/** A link to a folder could lead chokidar through the whole disk. */
function isFolderLink(path: string): boolean {
  if (fileKind(path) !== undefined) return false;
  try {
    return lstatSync(path).isSymbolicLink();
  } catch {
    return false;
  }
}

/** The files of one folder that could matter. */
function filesIn(folder: string): string[] {
  return entries(folder)
    .filter((entry) => !entry.isDirectory() && !isIgnoredName(entry.name))
    .map((entry) => join(folder, entry.name))
    .filter((path) => fileKind(path) !== undefined || isProjectFile(path));
}

function entries(folder: string): Dirent[] {
  try {
    return readdirSync(folder, { withFileTypes: true });
  } catch {
    // Gone since it was listed.
    return [];
  }
}

/** Also when it fails: then the sweep is left. */
function ready(watcher: FSWatcher): Promise<void> {
  return new Promise((resolve) => {
    watcher.once('ready', () => resolve());
    watcher.once('error', () => resolve());
  });
}

import { readFileSync } from 'node:fs';
import { mkdir, readdir, rename, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { sha256 } from './snapshot.ts';

const longestUnused = 30 * 24 * 3_600_000;
const mostEntries = 5_000;
const freshForMs = 24 * 3_600_000;
const suffix = '.unit';

/** Compiled files on disk, so that a start need not compile what it compiled before. */
export class CompileCache {
  readonly #dir: string;
  readonly #writes = new Set<Promise<void>>();
  #counter = 0;

  constructor(dir: string) {
    this.#dir = dir;
  }

  /** Makes the folder, for its owner only: what is in it will run. Drops what nobody used for long. */
  async open(): Promise<void> {
    await mkdir(this.#dir, { recursive: true, mode: 0o700 });
    this.#track(this.#prune());
  }

  /** Undefined when there is no such entry, or a damaged one. */
  get(key: string): unknown {
    const path = this.#path(key);
    let text: string;
    try {
      text = readFileSync(path, 'utf8');
    } catch {
      return undefined;
    }
    const at = text.indexOf('\n');
    const body = text.slice(at + 1);
    if (text.slice(0, at) !== sha256(body)) {
      this.#track(rm(path, { force: true }));
      return undefined;
    }
    this.#track(touchIfOld(path));
    return JSON.parse(body);
  }

  /** Written beside the work: a cache that cannot be written costs time, not deploys. */
  put(key: string, value: unknown): void {
    const body = JSON.stringify(value);
    this.#track(this.#write(this.#path(key), `${sha256(body)}\n${body}`));
  }

  async clear(): Promise<void> {
    await this.flush();
    await rm(this.#dir, { recursive: true, force: true });
    await mkdir(this.#dir, { recursive: true, mode: 0o700 });
  }

  /** Resolves when everything is on disk. */
  async flush(): Promise<void> {
    await Promise.all(this.#writes);
  }

  #path(key: string): string {
    return join(this.#dir, key + suffix);
  }

  async #write(path: string, text: string): Promise<void> {
    const temporary = `${path}.${process.pid}-${this.#counter++}.tmp`;
    await writeFile(temporary, text, { mode: 0o600 });
    await rename(temporary, path);
  }

  async #prune(): Promise<void> {
    const entries: { path: string; usedAt: number }[] = [];
    for (const name of await readdir(this.#dir)) {
      const path = join(this.#dir, name);
      if (!name.endsWith(suffix) && !name.endsWith('.tmp')) continue;
      entries.push({ path, usedAt: (await stat(path)).mtimeMs });
    }
    entries.sort((a, b) => b.usedAt - a.usedAt);
    const oldest = Date.now() - longestUnused;
    const unused = entries.filter((entry, at) => at >= mostEntries || entry.usedAt < oldest);
    for (const entry of unused) await rm(entry.path, { force: true });
  }

  #track(work: Promise<void>): void {
    const tracked = work.catch(() => undefined).finally(() => this.#writes.delete(tracked));
    this.#writes.add(tracked);
  }
}

/** The time of last use, to the day. */
async function touchIfOld(path: string): Promise<void> {
  const now = new Date();
  if (now.getTime() - (await stat(path)).mtimeMs > freshForMs) await utimes(path, now, now);
}

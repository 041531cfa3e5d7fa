import { readFileSync } from 'node:fs';
import { rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { DeployFailure } from './unit.ts';

interface Entry {
  readonly hash: string;
  readonly message: string;
}

/** Files that hung or killed a process, by the content they did it with. Kept on disk: a restart must not hang on them. */
export class Quarantine {
  readonly #path: string;
  readonly #entries = new Map<string, Entry>();
  #written: Promise<void> = Promise.resolve();

  constructor(dir: string) {
    this.#path = join(dir, 'quarantine.json');
  }

  load(): void {
    let stored: unknown;
    try {
      stored = JSON.parse(readFileSync(this.#path, 'utf8'));
    } catch {
      // None yet, or damaged: then each file gets another chance.
      return;
    }
    if (typeof stored !== 'object' || stored === null) return;
    for (const [file, entry] of Object.entries(stored)) {
      if (isEntry(entry)) this.#entries.set(file, entry);
    }
  }

  /** The failure of a file whose content is the one that did it. */
  failureOf(file: string, hash: string): DeployFailure | undefined {
    const entry = this.#entries.get(file);
    if (entry === undefined || entry.hash !== hash) return undefined;
    return {
      file,
      kind: 'quarantined',
      message: `${file} is not tried again until it changes: ${entry.message}`,
    };
  }

  add(file: string, hash: string, failure: DeployFailure): void {
    this.#entries.set(file, { hash, message: failure.message });
    this.#save();
  }

  release(file: string): void {
    if (this.#entries.delete(file)) this.#save();
  }

  /** Resolves when the file is written. */
  async flush(): Promise<void> {
    await this.#written;
  }

  #save(): void {
    this.#written = this.#written.then(() => this.#write()).catch(() => undefined);
  }

  async #write(): Promise<void> {
    const temporary = `${this.#path}.tmp`;
    await writeFile(temporary, JSON.stringify(Object.fromEntries(this.#entries)), { mode: 0o600 });
    await rename(temporary, this.#path);
  }
}

function isEntry(value: unknown): value is Entry {
  return (
    typeof value === 'object' &&
    value !== null &&
    'hash' in value &&
    typeof value.hash === 'string' &&
    'message' in value &&
    typeof value.message === 'string'
  );
}

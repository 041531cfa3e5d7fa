import { createHmac, randomBytes } from 'node:crypto';

const maxEntries = 10_000;
const lifetimeMs = 60_000;

export interface CredentialCacheOptions {
  /** Milliseconds on a clock that never steps back. */
  readonly now?: () => number;
}

/**
 * Remembers for a minute which credentials were right, so that a password is hashed once and not
 * per request. It keeps no credentials, only their HMACs under a key of this process.
 */
export class CredentialCache<T> {
  readonly #key = randomBytes(32);
  readonly #entries = new Map<string, { readonly value: T; readonly until: number }>();
  readonly #now: () => number;

  constructor(options: CredentialCacheOptions = {}) {
    this.#now = options.now ?? (() => performance.now());
  }

  get size(): number {
    return this.#entries.size;
  }

  /** What `get` and `add` know the credentials by. */
  keyOf(definition: string, credentials: string): string {
    return createHmac('sha256', this.#key).update(`${definition}\0${credentials}`).digest('base64');
  }

  get(key: string): T | undefined {
    const entry = this.#entries.get(key);
    if (entry === undefined) return undefined;
    if (entry.until > this.#now()) return entry.value;
    this.#entries.delete(key);
    return undefined;
  }

  add(key: string, value: T): void {
    if (this.#entries.size >= maxEntries) {
      // A Map keeps the order of insertion: the first is the oldest.
      for (const oldest of this.#entries.keys()) {
        this.#entries.delete(oldest);
        break;
      }
    }
    this.#entries.set(key, { value, until: this.#now() + lifetimeMs });
  }

  clear(): void {
    this.#entries.clear();
  }
}

const secretKey =
  /^(authorization|proxy-authorization|cookie|set-cookie|x-api-key|.*(password|passwd|passphrase|secret|token|api_?key|private_?key|credential)s?)$/i;
/** Up to the last `@` of the authority, as URLs are read. */
const userInfo = /:\/\/[^\s/?#"]*@/g;
const special = /[\\^$.*+?()[\]{}|]/g;
const hidden = '***';
const maxDepth = 6;
const maxKnownKeys = 1_000;

const knownKeys = new Map<string, boolean>();

/** Remembers its verdicts: the same few keys are asked on every line. */
function isSecretKey(key: string): boolean {
  const known = knownKeys.get(key);
  if (known !== undefined) return known;
  const secret = secretKey.test(key);
  if (knownKeys.size < maxKnownKeys) knownKeys.set(key, secret);
  return secret;
}

/**
 * Takes secrets out of log lines: by key, by the user part of URLs, and by the secret values that
 * were made known to it.
 */
export class Redactor {
  readonly #values = new Set<string>();
  /** Any of the values: one pattern costs the same for thirty of them as for one. */
  #pattern: RegExp | undefined;
  #shortest = Number.POSITIVE_INFINITY;

  /** From now on this value never shows. Values under 6 characters are ignored: they would hide words. */
  add(secret: string): void {
    if (secret.length < 6 || this.#values.has(secret)) return;
    this.#values.add(secret);
    // As it stands in JSON that somebody prints.
    this.#values.add(JSON.stringify(secret).slice(1, -1));
    this.#shortest = Math.min(this.#shortest, secret.length);
    this.#pattern = undefined;
  }

  /** Whether a secret value that was made known is in the text. */
  knows(text: string): boolean {
    return text.length >= this.#shortest && text.search(this.#known) >= 0;
  }

  text(text: string): string {
    // Values first: what hides a part of one would keep the rest from being known.
    const clean = text.length >= this.#shortest ? text.replace(this.#known, hidden) : text;
    return clean.includes('@') ? clean.replace(userInfo, `://${hidden}@`) : clean;
  }

  /** A copy without secrets, safe to serialise: errors become text, depth and cycles are cut. */
  value(value: unknown, depth = 0): unknown {
    if (typeof value === 'string') return this.text(value);
    if (typeof value === 'bigint') return value.toString();
    if (typeof value !== 'object' || value === null) return value;
    if (value instanceof Error) return this.#error(value, depth);
    if (value instanceof Uint8Array) return `<${value.byteLength} bytes>`;
    if (value instanceof Date) return value.toJSON();
    if (depth >= maxDepth) return '<deep>';
    if (Array.isArray(value)) return value.slice(0, 100).map((item) => this.value(item, depth + 1));
    return this.facts(value as Record<string, unknown>, depth + 1);
  }

  facts(facts: Readonly<Record<string, unknown>>, depth = 0): Record<string, unknown> {
    return this.addTo({}, facts, depth);
  }

  /** Adds facts without their secrets to an object, and gives it back. */
  addTo(
    clean: Record<string, unknown>,
    facts: Readonly<Record<string, unknown>>,
    depth = 0,
  ): Record<string, unknown> {
    for (const key of Object.keys(facts)) {
      const value = facts[key];
      clean[key] = isSecretKey(key) && value !== undefined ? hidden : this.value(value, depth);
    }
    return clean;
  }

  get #known(): RegExp {
    this.#pattern ??= new RegExp(
      [...this.#values]
        .sort((one, other) => other.length - one.length)
        .map((value) => value.replace(special, '\\$&'))
        .join('|'),
      'g',
    );
    return this.#pattern;
  }

  #error(error: Error, depth: number): string {
    const own = this.text(error.stack ?? `${error.name}: ${error.message}`);
    if (error.cause === undefined || depth >= maxDepth) return own;
    const cause = this.value(error.cause, depth + 1);
    return `${own}\ncaused by ${typeof cause === 'string' ? cause : JSON.stringify(cause)}`;
  }
}

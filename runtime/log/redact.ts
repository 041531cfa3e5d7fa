const secretKey =
  /^(authorization|proxy-authorization|cookie|set-cookie|x-api-key|.*(password|passwd|passphrase|secret|token|api_?key|private_?key|credential)s?)$/i;
const userInfo = /\b([a-z][a-z0-9+.-]*:\/\/)[^\s/@:]*(?::[^\s/@]*)?@/gi;
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
 * Takes secrets out of log facts: by key, by the user part of URLs, and by the secret values that
 * were made known to it.
 */
export class Redactor {
  readonly #values = new Set<string>();

  /** From now on this value never shows. Values under 6 characters are ignored: they would hide words. */
  add(secret: string): void {
    if (secret.length >= 6) this.#values.add(secret);
  }

  text(text: string): string {
    let clean = text.includes('@') ? text.replace(userInfo, `$1${hidden}@`) : text;
    for (const secret of this.#values) {
      if (clean.includes(secret)) clean = clean.replaceAll(secret, hidden);
    }
    return clean;
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

  #error(error: Error, depth: number): string {
    const own = this.text(error.stack ?? `${error.name}: ${error.message}`);
    if (error.cause === undefined || depth >= maxDepth) return own;
    const cause = this.value(error.cause, depth + 1);
    return `${own}\ncaused by ${typeof cause === 'string' ? cause : JSON.stringify(cause)}`;
  }
}

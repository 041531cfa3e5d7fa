import { usage } from './errors.ts';

/** The keys of a definition, or some of them. */
export type Spec = Record<string, unknown>;

/** One flag of `create` and `edit`, and the key of the definition that it sets. */
export interface SpecFlag {
  /** As commander writes it: `--path <path>`. */
  readonly flags: string;
  readonly about: string;
  /** Dotted: `retry.attempts`. */
  readonly key: string;
  /** `create` wants it. */
  readonly required?: boolean;
  /** Then not, when this key is set. */
  readonly unless?: string;
  readonly choices?: readonly string[];
  /** The value for a text; the text itself without it. */
  readonly read?: (text: string) => unknown;
  /** What a flag without a value sets. */
  readonly value?: unknown;
  /** Takes several values: the key holds a list. */
  readonly many?: boolean;
  /** May be given several times, each `name=value`. */
  readonly pairs?: boolean;
}

const unsafeKeys = new Set(['__proto__', 'constructor', 'prototype']);

/** Sets a dotted key. */
export function setKey(spec: Spec, dotted: string, value: unknown): void {
  const keys = dotted.split('.');
  const last = keys.pop() ?? '';
  if (last === '' || [...keys, last].some((key) => key === '' || unsafeKeys.has(key))) {
    throw usage(`Not a key: "${dotted}"`);
  }
  let at = spec;
  for (const key of keys) {
    const inner = at[key];
    const next: Spec = isGroup(inner) ? inner : {};
    at[key] = next;
    at = next;
  }
  at[last] = value;
}

/** The value of a dotted key. */
export function getKey(spec: Spec, dotted: string): unknown {
  let at: unknown = spec;
  for (const key of dotted.split('.')) at = isGroup(at) ? at[key] : undefined;
  return at;
}

/**
 * What a patch must say to change `current`: groups are completed with what they hold, since a patch
 * replaces whole keys. A null inside a group removes its key.
 */
export function patchOf(current: Spec, change: Spec): Spec {
  const patch: Spec = {};
  for (const [key, value] of Object.entries(change)) patch[key] = merged(current[key], value);
  return patch;
}

function merged(old: unknown, value: unknown): unknown {
  if (!isGroup(value)) return value;
  // Another type has other keys: nothing of the old one is kept.
  const sameKind = isGroup(old) && (value['type'] === undefined || value['type'] === old['type']);
  const result: Spec = sameKind ? { ...old } : {};
  for (const [key, inner] of Object.entries(value)) {
    if (inner === null) delete result[key];
    else result[key] = merged(result[key], inner);
  }
  return result;
}

function isGroup(value: unknown): value is Spec {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** `key=value` of `--set`: the value is JSON where it parses, else text. */
export function readSet(text: string): readonly [string, unknown] {
  const [key, value] = readPair(text, '--set');
  try {
    return [key, JSON.parse(value)];
  } catch {
    return [key, value];
  }
}

/** `name=value`; the value may hold more `=`. */
export function readPair(text: string, flag: string): readonly [string, string] {
  const at = text.indexOf('=');
  // The value is not repeated: it may be a secret.
  if (at < 1) throw usage(`${flag} wants name=value`);
  return [text.slice(0, at).trim(), text.slice(at + 1)];
}

export function readNumber(text: string): number {
  const value = Number(text);
  if (text.trim() === '' || !Number.isFinite(value)) throw usage(`Not a number: "${text}"`);
  return value;
}

const unitBytes: Readonly<Record<string, number>> = { '': 1, b: 1, kb: 1_024, mb: 1_048_576 };

/** Bytes from `65536`, `64kb` or `1mb`. */
export function readBytes(text: string): number {
  const match = /^(\d+(?:\.\d+)?)(b|kb|mb)?$/.exec(text.trim().toLowerCase());
  const bytes = Number(match?.[1]) * (unitBytes[match?.[2] ?? ''] ?? Number.NaN);
  if (bytes >= 1) return Math.floor(bytes);
  throw usage(`Not a size: "${text}" (write bytes, 64kb or 1mb)`);
}

export function readList(text: string): string[] {
  return text
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '');
}

/** `5/30s` or `off`. */
export function readBreaker(text: string): unknown {
  if (text === 'off') return 'off';
  const match = /^(\d+)\/([^/]+)$/.exec(text);
  if (match === null) throw usage(`--breaker wants FAILURES/RESET, such as 5/30s, or off`);
  return { failures: Number(match[1]), reset: match[2] };
}

/** `3/60s/5m` or `off`. */
export function readBanProtection(text: string): unknown {
  if (text === 'off') return 'off';
  const match = /^(\d+)\/([^/]+)\/([^/]+)$/.exec(text);
  if (match === null) {
    throw usage('--ban-protection wants REFUSALS/WITHIN/PAUSE, such as 3/60s/5m, or off');
  }
  return { refusals: Number(match[1]), within: match[2], pause: match[3] };
}

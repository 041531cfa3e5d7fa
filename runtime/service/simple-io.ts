import { Fault } from '../core/fault.ts';

/** Names of fields: a plain list (`-name` is optional), or required and optional apart. */
export type FieldList =
  | readonly string[]
  | { readonly required?: readonly string[]; readonly optional?: readonly string[] };

export interface Defaults {
  readonly default?: unknown;
  readonly defaults?: Readonly<Record<string, unknown>>;
}

/** A field list made ready. */
export interface Fields {
  readonly required: readonly string[];
  readonly optional: readonly string[];
  /** For messages: `user, message and optionally subject`. */
  readonly sentence: string;
  /** Required names that are absent or null, defaults considered. */
  missing(value: Readonly<Record<string, unknown>>): readonly string[];
  /** A new object with the listed names only, defaults filled in. */
  pick(value: Readonly<Record<string, unknown>>): Record<string, unknown>;
}

const none: readonly string[] = [];
const forbidden = new Set(['__proto__', 'constructor', 'prototype']);

/** @throws Fault `bad-request` naming `where` for a list that is not one, or names a field twice. */
export function compileFields(list: FieldList, defaults: Defaults, where: string): Fields {
  const { required, optional } = split(list, where);
  checkNames([...required, ...optional], where);
  const byName = defaults.defaults ?? {};
  const hasDefault = (name: string) => Object.hasOwn(byName, name);
  const demanded = required.filter((name) => !hasDefault(name));
  const names = [...required, ...optional];
  const fallbacks = names.map((name) => (hasDefault(name) ? byName[name] : defaults.default));
  return {
    required,
    optional,
    sentence: sentenceOf(required, optional),
    missing(value) {
      let missing = none;
      for (const name of demanded) {
        const given = Object.hasOwn(value, name) ? value[name] : undefined;
        if (given === undefined || given === null) missing = [...missing, name];
      }
      return missing;
    },
    pick(value) {
      const picked: Record<string, unknown> = {};
      for (let at = 0; at < names.length; at++) {
        const name = names[at] as string;
        const given = Object.hasOwn(value, name) ? value[name] : undefined;
        const chosen = given === undefined ? fallbacks[at] : given;
        if (chosen !== undefined) picked[name] = chosen;
      }
      return picked;
    },
  };
}

function split(list: FieldList, where: string): { required: string[]; optional: string[] } {
  if (isPlainList(list)) {
    return {
      required: list.filter((name) => !name.startsWith('-')),
      optional: list.filter((name) => name.startsWith('-')).map(bare),
    };
  }
  const { required = [], optional = [] } = list;
  if (!isPlainList(required) || !isPlainList(optional)) {
    throw new Fault('bad-request', `${where} must list names, or be a Standard Schema`);
  }
  return {
    required: required.filter((name) => !name.startsWith('-')),
    optional: [...optional, ...required.filter((name) => name.startsWith('-'))].map(bare),
  };
}

function isPlainList(list: unknown): list is readonly string[] {
  return Array.isArray(list) && list.every((name) => typeof name === 'string');
}

function bare(name: string): string {
  return name.startsWith('-') ? name.slice(1) : name;
}

function checkNames(names: readonly string[], where: string): void {
  const seen = new Set<string>();
  for (const name of names) {
    if (!name || forbidden.has(name)) {
      throw new Fault('bad-request', `${where}: "${name}" cannot be a field`);
    }
    if (seen.has(name)) throw new Fault('bad-request', `${where} names "${name}" twice`);
    seen.add(name);
  }
}

function sentenceOf(required: readonly string[], optional: readonly string[]): string {
  const must = required.join(', ');
  const may = optional.length > 0 ? `optionally ${optional.join(', ')}` : '';
  return [must, may].filter(Boolean).join(' and ') || 'no fields';
}

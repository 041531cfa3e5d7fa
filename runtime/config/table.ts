import type { Logger } from '../log/logger.ts';
import { type Definition, type DefinitionType, keptNameOrNone } from './definition.ts';
import type { Row } from './redis-definitions.ts';

export interface DefinitionChange {
  readonly type: string;
  readonly name: string;
  readonly before?: Definition;
  readonly after?: Definition;
}

interface Entry {
  readonly text: string;
  readonly definition: Definition;
}

/** The definitions in memory, as they were last read or written. */
export class Table {
  readonly #types: ReadonlyMap<string, DefinitionType>;
  readonly #entries: ReadonlyMap<string, Map<string, Entry>>;
  /** By type: its definitions by name, until one of them changes; then their order, to begin with. */
  readonly #sorted = new Map<string, readonly Definition[]>();
  readonly #order = new Map<string, readonly Definition[]>();
  /** By key: the text that was reported as unreadable, so that it is reported once. */
  readonly #unreadable = new Map<string, string>();
  readonly #log: Logger;

  constructor(types: readonly DefinitionType[], log: Logger) {
    this.#types = new Map(types.map((type) => [type.type, type]));
    this.#entries = new Map(types.map(({ type }) => [type, new Map()]));
    this.#log = log;
  }

  get(type: string, name: string): Definition | undefined {
    const entries = this.#entries.get(type);
    const kind = this.#types.get(type);
    const kept = kind?.name ? keptNameOrNone(kind, name) : name;
    return kept === undefined ? undefined : entries?.get(kept)?.definition;
  }

  /** By name. */
  list(type: string): readonly Definition[] {
    const known = this.#sorted.get(type);
    if (known) return known;
    const sorted = this.#sort(type);
    this.#sorted.set(type, sorted);
    this.#order.set(type, sorted);
    return sorted;
  }

  /** Sorting what is nearly in order is cheap: it begins with the order of before. */
  #sort(type: string): readonly Definition[] {
    const entries = this.#entries.get(type) ?? new Map<string, Entry>();
    const before = this.#order.get(type) ?? [];
    const names = new Set(before.map(({ name }) => name));
    for (const name of entries.keys()) names.add(name);
    return [...names]
      .flatMap((name) => entries.get(name)?.definition ?? [])
      .sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  get empty(): boolean {
    return [...this.#entries.values()].every((entries) => entries.size === 0);
  }

  /** Takes rows in; with `complete`, what they do not name is gone. Returns what is now different. */
  take(rows: readonly Row[], complete: boolean): readonly DefinitionChange[] {
    const changes = rows.flatMap((row) => this.#takeRow(row));
    return complete ? [...this.#dropped(rows), ...changes] : changes;
  }

  #dropped(rows: readonly Row[]): readonly DefinitionChange[] {
    const named = new Set(rows.map(({ type, name }) => `${type}/${name}`));
    const stored = [...this.#entries.keys()].flatMap((type) => this.list(type));
    return stored
      .filter(({ type, name }) => !named.has(`${type}/${name}`))
      .flatMap(({ type, name }) => this.#takeRow({ type, name, text: undefined }));
  }

  #takeRow({ type, name, text }: Row): readonly DefinitionChange[] {
    const entries = this.#entries.get(type);
    const entry = entries?.get(name);
    if (!entries || text === entry?.text) return [];
    const before = entry?.definition;
    this.#sorted.delete(type);
    if (text === undefined) {
      entries.delete(name);
      this.#unreadable.delete(`${type}/${name}`);
      return before ? [{ type, name, before }] : [];
    }
    const after = this.#read(type, name, text);
    // What was readable before serves on.
    if (!after) return [];
    entries.set(name, { text, definition: after });
    return [{ type, name, ...(before ? { before } : {}), after }];
  }

  #read(type: string, name: string, text: string): Definition | undefined {
    const key = `${type}/${name}`;
    try {
      const definition = parseDefinition(type, name, text, this.#types.get(type));
      this.#unreadable.delete(key);
      return definition;
    } catch (error) {
      if (this.#unreadable.get(key) !== text) {
        const reason = error instanceof Error ? error.message : String(error);
        this.#log.error('definition in redis is not readable', { type, name, reason });
      }
      this.#unreadable.set(key, text);
      return undefined;
    }
  }
}

/** A definition as Redis has it. */
export function formatDefinition({ revision, updatedAt, spec }: Definition): string {
  return JSON.stringify({ revision, updatedAt, spec });
}

function parseDefinition(
  type: string,
  name: string,
  text: string,
  kind: DefinitionType | undefined,
): Definition {
  const value: unknown = JSON.parse(text);
  if (!kind || keptNameOrNone(kind, name) !== name) throw new Error('its name is not a name');
  if (typeof value !== 'object' || value === null) throw new Error('not an object');
  const { revision, updatedAt, spec } = value as Readonly<Record<string, unknown>> & {
    readonly revision?: unknown;
    readonly updatedAt?: unknown;
    readonly spec?: unknown;
  };
  if (typeof revision !== 'number' || typeof updatedAt !== 'string') {
    throw new Error('no revision');
  }
  const checked = kind.schema.safeParse(spec);
  if (!checked.success) {
    throw new Error(checked.error.issues.map(({ message }) => message).join('; '));
  }
  return { type, name, revision, updatedAt, spec: checked.data };
}

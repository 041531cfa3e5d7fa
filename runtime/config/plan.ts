import { isDeepStrictEqual } from 'node:util';
import { Fault } from '../core/fault.ts';
import { type Definition, type DefinitionType, keptName, keptNameOrNone } from './definition.ts';
import { type ChangeProblem, pathOfValue, schemaProblems } from './problem.ts';

/** The revision that must still be there; `absent`: there must be none. */
export type IfRevision = number | 'absent';

interface ChangeBase {
  readonly type: string;
  readonly name: string;
  readonly ifRevision?: IfRevision | undefined;
}

export type Change = ChangeBase &
  (
    | { readonly action: 'put'; readonly spec: unknown }
    /** Some keys of the spec; null removes one. */
    | { readonly action: 'patch'; readonly keys: Readonly<Record<string, unknown>> }
    | { readonly action: 'delete' }
  );

interface Outcome {
  readonly action: 'created' | 'changed' | 'unchanged' | 'deleted';
  readonly type: string;
  readonly name: string;
  readonly before: Definition | undefined;
  /** What to store; undefined when deleted. */
  readonly spec: unknown;
}

/** The definitions at one revision. */
export interface Definitions {
  readonly revision: number;
  get(type: string, name: string): Definition | undefined;
  list(type: string): readonly Definition[];
}

/** What a set of changes would do to the definitions at `revision`. */
export interface Plan {
  readonly revision: number;
  readonly outcomes: readonly Outcome[];
  /** Empty when it may be committed. */
  readonly problems: readonly ChangeProblem[];
}

/** No definitions, at revision 0. */
export const noDefinitions: Definitions = {
  revision: 0,
  get: () => undefined,
  list: () => [],
};

/** Checks changes as one set against `base`, and says what each would do. Writes nothing. */
export async function planChanges(
  changes: readonly Change[],
  base: Definitions,
  types: readonly DefinitionType[],
): Promise<Plan> {
  const { revision } = base;
  const planner = new Planner(base, types);
  // One after the other: sealing hashes passwords, which is heavy on purpose.
  for (const change of changes) await planner.add(change);
  planner.checkConflicts();
  planner.checkReferences();
  return { revision, outcomes: planner.outcomes, problems: planner.problems };
}

class Planner {
  readonly outcomes: Outcome[] = [];
  readonly problems: ChangeProblem[] = [];
  readonly #base: Definitions;
  readonly #types: ReadonlyMap<string, DefinitionType>;
  /** By key: what the set puts, valid or not, or deletes. */
  readonly #named = new Map<string, 'put' | 'delete'>();

  constructor(base: Definitions, types: readonly DefinitionType[]) {
    this.#base = base;
    this.#types = new Map(types.map((type) => [type.type, type]));
  }

  async add(given: Change): Promise<void> {
    const type = this.#types.get(given.type);
    const change = { ...given, name: (type && keptNameOrNone(type, given.name)) ?? given.name };
    const before = type && this.#base.get(change.type, change.name);
    const refusal = this.#refusal(change, type, before);
    this.#named.set(keyOf(change), change.action === 'delete' ? 'delete' : 'put');
    if (refusal) this.#refuse(change, refusal);
    else if (change.action === 'delete') {
      this.outcomes.push({ action: 'deleted', ...place(change), before, spec: undefined });
    } else if (type) await this.#addSpec(change, type, before);
  }

  #refusal(
    change: Change,
    type: DefinitionType | undefined,
    before: Definition | undefined,
  ): Fault | undefined {
    const { type: noun, name, ifRevision } = change;
    if (!type) return new Fault('not-found', `No such type of definition: ${noun}`);
    const unnamed = nameFault(type, name);
    if (unnamed) return unnamed;
    if (this.#named.has(keyOf(change))) {
      return new Fault('bad-request', `${noun} ${name} is given twice`);
    }
    if (ifRevision === 'absent' && before) {
      return new Fault('conflict', `${noun} ${name} already exists`);
    }
    if (typeof ifRevision === 'number' && ifRevision !== before?.revision) {
      return new Fault('conflict', movedText(change, ifRevision, before));
    }
    if (!before && change.action !== 'put') {
      return new Fault('not-found', `No such ${noun}: ${name}`);
    }
    return undefined;
  }

  async #addSpec(
    change: Exclude<Change, { action: 'delete' }>,
    type: DefinitionType,
    before: Definition | undefined,
  ): Promise<void> {
    const given = change.action === 'put' ? change.spec : patched(before?.spec, change.keys);
    const checked = type.schema.safeParse(given);
    if (!checked.success) {
      this.problems.push(...schemaProblems(change, given, checked.error.issues));
      return;
    }
    try {
      const sealed = type.seal
        ? await type.seal(change.name, checked.data, before?.spec)
        : checked.data;
      this.outcomes.push({ ...place(change), ...outcomeOf(stored(sealed), before) });
    } catch (error) {
      if (!Fault.is(error)) throw error;
      this.#refuse(change, error);
    }
  }

  /** Each put stands beside what stays and what was put before it in this set. */
  checkConflicts(): void {
    for (const type of this.#types.values()) {
      const puts = this.#puts().filter((outcome) => outcome.type === type.type);
      if (puts.every(({ action }) => action === 'unchanged')) continue;
      if (!type.conflicts && !type.uniques) continue;
      const kept = this.#base.list(type.type).filter((one) => !this.#named.has(keyOf(one)));
      if (type.uniques) this.#checkUniques(type, puts, kept);
      if (!type.conflicts) continue;
      const others = new Map(kept.map(({ name, spec }) => [name, spec]));
      for (const put of puts) this.#checkConflict(type, put, others);
    }
  }

  #checkUniques(type: DefinitionType, puts: readonly Outcome[], kept: readonly Definition[]): void {
    const owners = new Map<string, string>();
    for (const { name, spec } of kept) {
      for (const unique of type.uniques?.(spec) ?? []) owners.set(unique, name);
    }
    for (const put of puts) {
      for (const unique of type.uniques?.(put.spec) ?? []) {
        const owner = owners.get(unique);
        if (owner === undefined) owners.set(unique, put.name);
        else this.#refuse(put, takenFault(put, unique, owner));
      }
    }
  }

  #checkConflict(type: DefinitionType, put: Outcome, others: Map<string, unknown>): void {
    try {
      type.conflicts?.(put.name, put.spec, others);
    } catch (error) {
      if (!Fault.is(error)) throw error;
      this.#refuse(put, error);
    }
    others.set(put.name, put.spec);
  }

  checkReferences(): void {
    for (const put of this.#puts()) {
      for (const { type, name } of this.#types.get(put.type)?.references?.(put.spec) ?? []) {
        if (this.#stands(type, name)) continue;
        const detail = `there is no ${type} ${name}`;
        const fault = new Fault('bad-request', `${put.type} ${put.name}: ${detail}`);
        this.#refuse(put, fault, detail, pathOfValue(put.spec, name));
      }
    }
    const deleted = this.outcomes.filter(({ action }) => action === 'deleted');
    const allUsers = deleted.length > 0 ? this.#users() : undefined;
    for (const gone of deleted) {
      const users = allUsers?.get(keyOf(gone)) ?? [];
      if (users.length === 0) continue;
      const by = users.join(', ');
      const text = `${gone.type} ${gone.name} cannot be deleted: it is used by ${by}`;
      this.#refuse(gone, new Fault('conflict', text), `used by ${by}`);
    }
  }

  #stands(type: string, name: string): boolean {
    const named = this.#named.get(keyOf({ type, name }));
    return named ? named === 'put' : this.#base.get(type, name) !== undefined;
  }

  /** Who names each definition, outside this set; those in the set were checked as puts. */
  #users(): ReadonlyMap<string, readonly string[]> {
    const users = new Map<string, string[]>();
    for (const type of this.#types.values()) {
      if (!type.references) continue;
      for (const one of this.#base.list(type.type)) {
        if (this.#named.has(keyOf(one))) continue;
        for (const key of new Set(type.references(one.spec).map(keyOf))) {
          const known = users.get(key) ?? [];
          known.push(`${one.type} ${one.name}`);
          users.set(key, known);
        }
      }
    }
    return users;
  }

  #puts(): readonly Outcome[] {
    return this.outcomes.filter(({ action }) => action !== 'deleted');
  }

  #refuse(
    at: { readonly type: string; readonly name: string },
    fault: Fault,
    detail = fault.message,
    path: readonly (string | number)[] = [],
  ): void {
    const { code, message } = fault;
    this.problems.push({ ...place(at), path, atKey: false, code, message, detail });
  }
}

function keyOf({ type, name }: { readonly type: string; readonly name: string }): string {
  return `${type}/${name}`;
}

function place({ type, name }: { readonly type: string; readonly name: string }) {
  return { type, name };
}

function nameFault(type: DefinitionType, name: string): Fault | undefined {
  try {
    keptName(type, name);
    return undefined;
  } catch (error) {
    if (Fault.is(error)) return error;
    throw error;
  }
}

function takenFault({ type, name }: Outcome, what: string, owner: string): Fault {
  return new Fault('conflict', `${type} ${name}: ${what} already belongs to ${type} ${owner}`);
}

function movedText({ type, name }: Change, from: number, before: Definition | undefined): string {
  if (!before) return `${type} ${name} is gone: it was at revision ${from}`;
  return `${type} ${name} moved from revision ${from} to ${before.revision}`;
}

function patched(spec: unknown, keys: Readonly<Record<string, unknown>>): unknown {
  const own = typeof spec === 'object' && spec !== null ? Object.entries(spec) : [];
  const all = new Map<string, unknown>([...own, ...Object.entries(keys)]);
  return Object.fromEntries([...all].filter(([, value]) => value !== null));
}

/** The value as it comes back from Redis, so that equal specs compare as equal. */
function stored(spec: unknown): unknown {
  return JSON.parse(JSON.stringify(spec));
}

function outcomeOf(
  spec: unknown,
  before: Definition | undefined,
): Pick<Outcome, 'action' | 'before' | 'spec'> {
  if (!before) return { action: 'created', before, spec };
  if (isDeepStrictEqual(spec, stored(before.spec))) {
    return { action: 'unchanged', before, spec: before.spec };
  }
  return { action: 'changed', before, spec };
}

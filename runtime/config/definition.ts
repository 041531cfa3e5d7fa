import type { ZodType } from 'zod';
import { Fault } from '../core/fault.ts';
import { isName, nameRule } from '../core/name.ts';

/** A configured object: channel, outgoing connection, security definition. */
export interface Definition<T = unknown> {
  readonly type: string;
  readonly name: string;
  /** The store's revision at which it last changed: what a compare-and-set compares. */
  readonly revision: number;
  /** ISO 8601. */
  readonly updatedAt: string;
  readonly spec: T;
}

export interface Reference {
  readonly type: string;
  readonly name: string;
}

/** What the store must know of one type of definition. The roof lists them all. */
export interface DefinitionType<T = unknown> {
  /** Singular, as in the CLI: `channel`. */
  readonly type: string;
  /** Its section in YAML: `channels`. */
  readonly section: string;
  /** Checks and fills in defaults. Unknown keys are refused. */
  readonly schema: ZodType<T>;
  /**
   * The name as it is kept, for a type with a rule of its own instead of `isName`.
   * @throws Fault `bad-request`.
   */
  name?(given: string): string;
  /** Definitions it names: each must exist, and cannot be deleted while it is named. */
  references?(spec: T): readonly Reference[];
  /** What no two of its definitions may share, in words: `security partner`. */
  uniques?(spec: T): readonly string[];
  /** @throws Fault `conflict` naming the other when `spec` cannot stand beside one of `others`. */
  conflicts?(name: string, spec: T, others: ReadonlyMap<string, T>): void;
  /**
   * What is stored for what was given: a password becomes its hash. Given the stored `previous`,
   * it returns `previous`'s own value where the secret has not changed, so that an apply is idempotent.
   */
  seal?(name: string, spec: T, previous: T | undefined): Promise<T>;
  /** What is shown of what is stored: no secret. An export of it must apply again. */
  show?(name: string, spec: T): unknown;
}

/** The name as it is kept. @throws Fault `bad-request` for what is no name of this type. */
export function keptName(type: Pick<DefinitionType, 'type' | 'name'>, given: string): string {
  if (type.name) return type.name(given);
  if (isName(given)) return given;
  throw new Fault('bad-request', `Not a name for a ${type.type}: ${nameRule}`);
}

/** The same, or undefined for what is no name of this type. */
export function keptNameOrNone(
  type: Pick<DefinitionType, 'type' | 'name'>,
  given: string,
): string | undefined {
  try {
    return keptName(type, given);
  } catch (error) {
    if (Fault.is(error)) return undefined;
    throw error;
  }
}

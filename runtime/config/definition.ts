import type { ZodType } from 'zod';

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
  /** Definitions it names: each must exist, and cannot be deleted while it is named. */
  references?(spec: T): readonly Reference[];
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

/** One user file, compiled on its own. */
export interface Unit {
  /** Absolute real path of the source: its identity in the graph. */
  readonly path: string;
  /** The path as people see it, relative to the project: `services/pushover.ts`. */
  readonly file: string;
  /** First 12 hex digits of the SHA-256 of the source bytes. */
  readonly hash: string;
  /** `async` has a top-level await: its code is an async function body, evaluated before the others. */
  readonly format: 'cjs' | 'async';
  /** Function body; free names: `require`, `module`, `exports`, `__import`, `__meta` and the timers. */
  readonly code: string;
  /** Source map (version 3, JSON) for `code`. */
  readonly map: string;
  /** Absolute paths of user files it imports, as they stand in `require("...")`. */
  readonly imports: readonly string[];
  /** Packages and builtins, as they stand in `require("...")`, and what each resolves to. */
  readonly externals: readonly External[];
}

interface External {
  readonly specifier: string;
  /** `hence`, `hence/testing`, `node:fs` or a file URL for a real `import()`. */
  readonly resolved: string;
}

/** A set of changes that every worker prepares, and then commits or aborts, together. */
export interface Transaction {
  readonly id: number;
  /** New and changed units. */
  readonly units: readonly Unit[];
  /** Units whose file is gone. */
  readonly removed: readonly string[];
  /** Paths to evaluate afresh, dependents included; every other record is kept as it is. */
  readonly evaluate: readonly string[];
  /** Service files to load, each with the version its services get. */
  readonly roots: readonly Root[];
  /** Service files whose services go. */
  readonly undeploy: readonly string[];
}

export interface Root {
  readonly path: string;
  readonly file: string;
  /** 1, 2, ... counted per file. */
  readonly version: number;
  /** Over the file and every user file it imports, 12 hex digits. */
  readonly hash: string;
}

/** One service class found in a root while preparing. */
export interface PreparedService {
  readonly name: string;
  readonly className: string;
  /** Path of the root. */
  readonly path: string;
  /** The class's own docs for `service show`: IO lists or JSON Schema, methods, timeout. */
  readonly about: unknown;
}

export type FailureKind =
  | 'read'
  | 'compile'
  | 'import'
  | 'constructor'
  | 'conflict'
  | 'timeout'
  | 'exit'
  | 'quarantined';

/** Why a file was not deployed. Lines and columns count from 1. */
export interface DeployFailure {
  /** As people see it. */
  readonly file: string;
  readonly kind: FailureKind;
  readonly message: string;
  readonly line?: number;
  readonly column?: number;
  /** The lines around the place, with a marker. */
  readonly frame?: string;
}

/** A worker's answer to a prepare. Roots that failed can be left out of the commit. */
export interface Prepared {
  readonly id: number;
  readonly services: readonly PreparedService[];
  readonly failures: readonly (DeployFailure & { readonly path: string })[];
}

/** What the deployer asks of the processes that run user code. */
export interface Fleet {
  /**
   * Prepares in the canary, a process that serves nobody. A canary that hangs or dies is replaced,
   * and the failure names the root it was evaluating.
   */
  canary(transaction: Transaction): Promise<Prepared>;
  /** Prepares in every worker that serves; one answer each. */
  prepare(transaction: Transaction): Promise<readonly Prepared[]>;
  /** Swaps these roots everywhere, in one synchronous step per worker; drops the others. */
  commit(transaction: Transaction, roots: readonly string[]): Promise<void>;
  abort(transaction: Transaction): Promise<void>;
}

/** The outcome of one deploy, kept for the log, the CLI and the admin API. */
export interface DeployReport {
  readonly id: number;
  /** ISO 8601. */
  readonly at: string;
  /** From the first notice of the change to live on every worker. */
  readonly ms: number;
  readonly deployed: readonly DeployedService[];
  readonly undeployed: readonly string[];
  readonly failures: readonly DeployFailure[];
}

export interface DeployedService {
  readonly name: string;
  readonly file: string;
  readonly version: number;
  readonly hash: string;
}

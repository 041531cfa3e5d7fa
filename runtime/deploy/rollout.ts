import { displayPath } from './file-kind.ts';
import type { Graph } from './graph.ts';
import type { Live } from './live.ts';
import { nameConflicts } from './names.ts';
import { transactionOf } from './plan.ts';
import type { Quarantine } from './quarantine.ts';
import type { DeployFailure, Fleet, Prepared, PreparedService, Root, Transaction } from './unit.ts';

export interface RolloutOptions {
  readonly id: number;
  readonly projectDir: string;
  readonly fleet: Fleet;
  readonly graph: Graph;
  readonly live: Live;
  readonly quarantine: Quarantine;
  readonly roots: readonly Root[];
  readonly undeploy: readonly string[];
  /** At boot nobody serves yet, so there is no need for a canary. */
  readonly canary: boolean;
  /** Ends before the workers prepare. */
  readonly trial: boolean;
  /** Asked for each file that lost services it has now: true when it may. */
  readonly mayLose: (root: Root) => boolean;
}

export interface RolloutOutcome {
  /** What serves now; in a trial, what would. */
  readonly deployed: readonly Root[];
  readonly services: ReadonlyMap<string, readonly PreparedService[]>;
  readonly undeployed: readonly string[];
  readonly failures: ReadonlyMap<string, DeployFailure>;
  /** Files that wait for a name, and the file that keeps it. */
  readonly conflicts: ReadonlyMap<string, string>;
  /** Files left as they are for a moment. */
  readonly held: readonly Root[];
}

type Services = Map<string, readonly PreparedService[]>;

/** Takes one set of service files through canary, preparation and commit. A file that fails leaves, the others go on. */
export class Rollout {
  readonly #options: RolloutOptions;
  readonly #failures = new Map<string, DeployFailure>();
  readonly #conflicts = new Map<string, string>();
  readonly #held: Root[] = [];
  #services: Services = new Map();
  #roots: readonly Root[];
  #transaction: Transaction | undefined;

  constructor(options: RolloutOptions) {
    this.#options = options;
    this.#roots = options.roots;
  }

  async run(): Promise<RolloutOutcome> {
    const { fleet, canary, trial, undeploy } = this.#options;
    try {
      this.#leave((root) => this.#options.quarantine.failureOf(root.file, root.hash));
      if (canary) {
        await this.#prepare(async (transaction) => [await fleet.canary(transaction)]);
        this.#settleNames();
        this.#hold();
      }
      if (trial || (this.#roots.length === 0 && undeploy.length === 0)) {
        await this.#abort();
        return this.#outcome([]);
      }
      return await this.#prepareAll();
    } catch (error) {
      await this.#abort().catch(() => undefined);
      throw error;
    }
  }

  async #prepareAll(): Promise<RolloutOutcome> {
    const { fleet, undeploy } = this.#options;
    if (this.#roots.length > 0) {
      await this.#prepare((all) => fleet.prepare(all));
      this.#settleNames();
      if (this.#roots.length > 0 && this.#transaction) return this.#commit(this.#transaction);
      await this.#abort();
    }
    if (undeploy.length === 0) return this.#outcome([]);
    // Nothing is left to load, but files went: a transaction that only takes away.
    const transaction = this.#transactionOf([]);
    await fleet.prepare(transaction);
    return this.#commit(transaction);
  }

  /** Again without them when files hung or killed a process: what came after them was not tried. */
  async #prepare(ask: (transaction: Transaction) => Promise<readonly Prepared[]>): Promise<void> {
    while (this.#roots.length > 0) {
      const transaction = this.#transactionOf(this.#roots);
      const answers = await ask(transaction);
      const failed = this.#failuresIn(answers);
      this.#services = servicesIn(answers);
      const fatal = this.#roots.filter((root) => isFatal(failed.get(root.path)));
      for (const root of fatal) this.#isolate(root, failed.get(root.path));
      this.#leave((root) => failed.get(root.path));
      if (fatal.length === 0) return;
      await this.#abort();
    }
  }

  #transactionOf(roots: readonly Root[]): Transaction {
    const { id, undeploy } = this.#options;
    this.#transaction = transactionOf(id, roots, undeploy, this.#options);
    return this.#transaction;
  }

  #failuresIn(answers: readonly Prepared[]): Map<string, DeployFailure> {
    const failed = new Map<string, DeployFailure>();
    for (const { path, ...failure } of answers.flatMap((answer) => answer.failures)) {
      // A worker may name a helper: then all that import it failed.
      for (const above of this.#options.graph.above([path])) {
        if (!failed.has(above)) failed.set(above, failure);
      }
    }
    return failed;
  }

  #isolate(root: Root, failure: DeployFailure | undefined): void {
    if (failure !== undefined) this.#options.quarantine.add(root.file, root.hash, failure);
  }

  #leave(why: (root: Root) => DeployFailure | undefined): void {
    this.#roots = this.#roots.filter((root) => {
      const failure = why(root);
      if (failure !== undefined) this.#failures.set(root.path, failure);
      return failure === undefined;
    });
  }

  #settleNames(): void {
    const { live, undeploy, projectDir } = this.#options;
    const losers = nameConflicts(this.#claims(), live, new Set(undeploy));
    for (const [path, { holder }] of losers) this.#conflicts.set(path, holder);
    this.#leave((root) => {
      const conflict = losers.get(root.path);
      if (conflict === undefined) return undefined;
      const holder = displayPath(projectDir, conflict.holder);
      const message = `service name "${conflict.name}" is claimed by ${holder} and ${root.file}: ${holder} keeps it`;
      return { file: root.file, kind: 'conflict', message };
    });
  }

  #claims(): Map<string, readonly string[]> {
    const claims = new Map<string, readonly string[]>();
    for (const root of this.#roots) {
      const services = this.#services.get(root.path) ?? [];
      claims.set(
        root.path,
        services.map((service) => service.name),
      );
    }
    return claims;
  }

  #hold(): void {
    const { live, mayLose, trial } = this.#options;
    if (trial) return;
    const claims = this.#claims();
    this.#roots = this.#roots.filter((root) => {
      const now = claims.get(root.path) ?? [];
      const loses = live.namesOf(root.path).some((name) => !now.includes(name));
      if (!loses || mayLose(root)) return true;
      this.#held.push(root);
      return false;
    });
  }

  async #commit(transaction: Transaction): Promise<RolloutOutcome> {
    const { fleet, live, graph } = this.#options;
    const before = new Set(live.services().map((service) => service.name));
    const paths = this.#roots.map((root) => root.path);
    await fleet.commit(transaction, paths);
    live.commit(transaction, this.#roots, this.#services, graph);
    const after = new Set(live.services().map((service) => service.name));
    return this.#outcome([...before].filter((name) => !after.has(name)));
  }

  async #abort(): Promise<void> {
    const transaction = this.#transaction;
    this.#transaction = undefined;
    if (transaction !== undefined) await this.#options.fleet.abort(transaction);
  }

  #outcome(undeployed: readonly string[]): RolloutOutcome {
    return {
      deployed: this.#roots,
      services: this.#services,
      undeployed,
      failures: this.#failures,
      conflicts: this.#conflicts,
      held: this.#held,
    };
  }
}

function servicesIn(answers: readonly Prepared[]): Services {
  const services: Services = new Map();
  for (const service of answers[0]?.services ?? []) {
    services.set(service.path, [...(services.get(service.path) ?? []), service]);
  }
  return services;
}

/** An exit with a place was held back: the process lives. */
function isFatal(failure: DeployFailure | undefined): boolean {
  return failure?.kind === 'timeout' || (failure?.kind === 'exit' && failure.line === undefined);
}

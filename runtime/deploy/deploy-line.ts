import { dirname } from 'node:path';
import type { Logger } from '../log/logger.ts';
import type { Builder } from './builder.ts';
import type { Compiler } from './compiler.ts';
import { displayPath, isProjectFile } from './file-kind.ts';
import { Graph } from './graph.ts';
import { distinct, type Journal } from './journal.ts';
import type { Live } from './live.ts';
import { planRoots } from './plan.ts';
import type { Quarantine } from './quarantine.ts';
import { Rollout, type RolloutOutcome } from './rollout.ts';
import type { Batch } from './source.ts';
import type { DeployedService, DeployFailure, DeployReport, Fleet, Root } from './unit.ts';

export interface DeployLineOptions {
  /** Real paths. */
  readonly projectDir: string;
  readonly servicesDir: string;
  readonly fleet: Fleet;
  readonly live: Live;
  readonly builder: Builder;
  readonly compiler: Compiler;
  readonly quarantine: Quarantine;
  readonly journal: Journal;
  readonly log: Logger;
  /** A file that lost services waits so long, in case the rest of it is still to be written. */
  readonly holdMs: number;
  /** Resolves with the batch and what of the files around it was still on its way. */
  readonly gather: (batch: Batch, family: (batch: Batch) => Iterable<string>) => Promise<Batch>;
  /** These files count now, those no more. */
  readonly follow: (needed: Iterable<string>, dropped: readonly string[]) => void;
  /** Deploys this service file again, changed or not, after so many ms. */
  readonly again: (path: string, ms: number) => void;
}

export interface DeployOrder {
  readonly batch: Batch;
  /** Service files to try again. */
  readonly retries?: Iterable<string>;
  readonly boot?: boolean;
  /** Compile and load it in the canary, then forget it. */
  readonly trial?: boolean;
  /** A file whose author asked for just this content. */
  readonly asked?: string;
}

const retryMs = 500;
const mostRetries = 3;

/** One deploy at a time, from changed files to what serves. */
export class DeployLine {
  readonly #options: DeployLineOptions;
  readonly #graph = new Graph();
  readonly #failures = new Map<string, DeployFailure>();
  /** Files that wait for a service name, and the file that keeps it. */
  readonly #conflicts = new Map<string, string>();
  /** Files that lost services, and the content with which they did. */
  readonly #held = new Map<string, string>();
  #id = 0;
  #retried = 0;

  constructor(options: DeployLineOptions) {
    this.#options = options;
  }

  nextId(): number {
    return ++this.#id;
  }

  failures(): ReadonlyMap<string, DeployFailure> {
    return this.#failures;
  }

  async deploy(order: DeployOrder): Promise<DeployReport> {
    const id = this.nextId();
    const graph = order.trial ? this.#graph.clone() : this.#graph;
    const touched = await this.#build(graph, order);
    const undeploy = order.trial ? [] : this.#gone(graph);
    const candidates = this.#candidates(graph, [...touched, ...(order.retries ?? [])], undeploy);
    const scope = { projectDir: this.#options.projectDir, graph, live: this.#options.live };
    const plan = await planRoots(candidates, scope);
    const outcome = await this.#rollOut(id, graph, order, plan.roots, undeploy);
    const failures = new Map([...plan.failures, ...outcome.failures]);
    if (!order.trial) this.#remember(candidates, undeploy, failures, outcome);
    const report = await this.#report(id, order, failures, outcome);
    const isNews = report.deployed.length + report.undeployed.length + report.failures.length > 0;
    if (isNews && !order.trial) this.#options.journal.add(report);
    return report;
  }

  /** Brings the graph up to date; files that changed while it compiled are taken in. */
  async #build(graph: Graph, order: DeployOrder): Promise<Set<string>> {
    const { builder, gather, follow } = this.#options;
    if (order.trial) return builder.update(graph, order.batch);
    const family = (of: Batch) =>
      graph.below(graph.above([...of.changed.keys(), ...of.removed, ...of.refused.keys()]));
    const batch = order.boot ? order.batch : await gather(order.batch, family);
    const again = order.boot ? [] : await this.#projectChanges(batch);
    const touched = await builder.update(graph, batch, again);
    const more = order.boot ? batch : await gather(batch, family);
    if (more !== batch) for (const path of await builder.update(graph, more)) touched.add(path);
    const dropped = builder.prune(graph);
    follow(graph.places(), dropped);
    return touched;
  }

  /** A change of the manifest or the tsconfig: failed files deserve another try. */
  async #projectChanges(batch: Batch): Promise<string[]> {
    const { projectDir, compiler, log } = this.#options;
    const paths = [...batch.changed.keys(), ...batch.removed, ...batch.refused.keys()];
    const changed = paths.filter((path) => isProjectFile(path) && dirname(path) === projectDir);
    if (changed.length === 0) return [];
    await compiler.forgetProject();
    const files = changed.map((path) => displayPath(projectDir, path));
    log.info('restart to pick up new package versions', { changed: files });
    return [...this.#graph.paths()].filter((path) => this.#graph.get(path)?.failure !== undefined);
  }

  #gone(graph: Graph): string[] {
    return [...this.#options.live.paths()].filter((path) => graph.get(path) === undefined);
  }

  /** Service files that the touched ones are part of, and those that waited for a name of theirs. */
  #candidates(graph: Graph, touched: readonly string[], undeploy: readonly string[]): string[] {
    const { builder } = this.#options;
    const moving = new Set([...graph.above(touched), ...undeploy]);
    for (const [waiting, holder] of this.#conflicts) if (moving.has(holder)) moving.add(waiting);
    return [...moving]
      .filter((path) => builder.isRoot(path) && graph.get(path) !== undefined)
      .sort();
  }

  async #rollOut(
    id: number,
    graph: Graph,
    order: DeployOrder,
    roots: readonly Root[],
    undeploy: readonly string[],
  ): Promise<RolloutOutcome> {
    const { projectDir, fleet, live, quarantine } = this.#options;
    const asked = roots.find((root) => root.path === order.asked);
    if (asked !== undefined) quarantine.release(asked.file);
    const rollout = new Rollout({
      id,
      projectDir,
      fleet,
      graph,
      live,
      quarantine,
      roots,
      undeploy,
      canary: order.boot !== true,
      trial: order.trial === true,
      mayLose: (root) => root.path === order.asked || this.#hasWaited(root),
    });
    try {
      const outcome = await rollout.run();
      this.#retried = 0;
      return outcome;
    } catch (error) {
      return this.#unanswered(error, roots, order);
    }
  }

  #hasWaited(root: Root): boolean {
    if (this.#held.get(root.path) === root.hash) return true;
    this.#held.set(root.path, root.hash);
    this.#options.again(root.path, this.#options.holdMs);
    return false;
  }

  /** The processes failed, not the files: try again soon, a few times. */
  #unanswered(error: unknown, roots: readonly Root[], order: DeployOrder): RolloutOutcome {
    const reason = error instanceof Error ? error.message : String(error);
    const failures = new Map<string, DeployFailure>();
    for (const { path, file } of roots) {
      failures.set(path, {
        file,
        kind: 'exit',
        message: `the workers did not take ${file}: ${reason}`,
      });
    }
    if (!order.trial && this.#retried++ < mostRetries) {
      for (const { path } of roots) this.#options.again(path, retryMs);
    }
    const none = new Map<string, never>();
    return { deployed: [], services: none, undeployed: [], failures, conflicts: none, held: [] };
  }

  #remember(
    candidates: readonly string[],
    undeploy: readonly string[],
    failures: ReadonlyMap<string, DeployFailure>,
    outcome: RolloutOutcome,
  ): void {
    const { projectDir } = this.#options;
    for (const path of [...candidates, ...undeploy]) {
      this.#failures.delete(displayPath(projectDir, path));
      this.#conflicts.delete(path);
    }
    // A file that never served and went has no line in `undeploy`.
    for (const file of this.#failures.keys()) {
      if (!this.#exists(file)) this.#failures.delete(file);
    }
    for (const [path, failure] of failures)
      this.#failures.set(displayPath(projectDir, path), failure);
    for (const [path, holder] of outcome.conflicts) this.#conflicts.set(path, holder);
    for (const root of outcome.deployed) this.#held.delete(root.path);
  }

  #exists(file: string): boolean {
    const { projectDir } = this.#options;
    for (const path of this.#graph.paths()) if (displayPath(projectDir, path) === file) return true;
    return false;
  }

  async #report(
    id: number,
    order: DeployOrder,
    failures: ReadonlyMap<string, DeployFailure>,
    outcome: RolloutOutcome,
  ): Promise<DeployReport> {
    const { journal } = this.#options;
    const framed: DeployFailure[] = [];
    for (const failure of distinct(failures.values())) framed.push(await journal.framed(failure));
    const deployed: DeployedService[] = outcome.deployed.flatMap(({ path, file, version, hash }) =>
      (outcome.services.get(path) ?? []).map(({ name }) => ({ name, file, version, hash })),
    );
    return {
      id,
      at: new Date().toISOString(),
      ms: Date.now() - order.batch.since,
      deployed,
      undeployed: outcome.undeployed,
      failures: framed,
    };
  }
}

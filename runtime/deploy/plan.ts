import { displayPath } from './file-kind.ts';
import { type Graph, type GraphNode, hashOf } from './graph.ts';
import { missingExport, placeOf } from './links.ts';
import { type Live, unitsBelow } from './live.ts';
import type { DeployFailure, Root, Transaction } from './unit.ts';
import { yielding } from './yielding.ts';

/** What one deploy sets out to do. */
export interface Plan {
  /** Service files to load. */
  readonly roots: readonly Root[];
  /** Service files that cannot be loaded as they are, by path. */
  readonly failures: ReadonlyMap<string, DeployFailure>;
  /** Service files whose newest content is what serves. */
  readonly unchanged: readonly string[];
}

export interface PlanOptions {
  readonly projectDir: string;
  readonly graph: Graph;
  readonly live: Live;
}

/** Sorts service files into those to load, those that fail and those that are as they should be. */
export async function planRoots(paths: Iterable<string>, options: PlanOptions): Promise<Plan> {
  const { graph, live, projectDir } = options;
  const broken = new Map<string, DeployFailure | undefined>();
  const roots: Root[] = [];
  const failures = new Map<string, DeployFailure>();
  const unchanged: string[] = [];
  const pause = yielding();
  for (const path of paths) {
    await pause();
    const below = graph.below([path]);
    const failure = firstFailure(below, graph, broken);
    if (failure !== undefined) {
      failures.set(path, failure);
      continue;
    }
    const nodes = [...below].flatMap((one) => graph.get(one) ?? []);
    const hash = hashOf(nodes.map((node) => [displayPath(projectDir, node.path), node.hash]));
    const news = nodes.some(({ compiled }) => compiled !== undefined && live.isNews(compiled.unit));
    if (!news && live.hashOf(path) === hash) {
      unchanged.push(path);
      continue;
    }
    const file = displayPath(projectDir, path);
    roots.push({ path, file, hash, version: live.nextVersion(file) });
  }
  return { roots, failures, unchanged };
}

/** Only what changed travels; what depends on it is evaluated afresh. */
export function transactionOf(
  id: number,
  roots: readonly Root[],
  undeploy: readonly string[],
  { graph, live }: PlanOptions,
): Transaction {
  const below = new Set<string>();
  for (const root of roots) for (const path of unitsBelow(graph, root.path).keys()) below.add(path);
  const units = [...below].flatMap((path) => {
    const unit = graph.get(path)?.compiled?.unit;
    return unit !== undefined && live.isNews(unit) ? [unit] : [];
  });
  const stale = graph.above([...units.map((unit) => unit.path), ...roots.map((root) => root.path)]);
  return {
    id,
    units,
    removed: live.unneeded(graph),
    evaluate: [...stale].filter((path) => below.has(path)),
    roots,
    undeploy,
  };
}

function firstFailure(
  below: Iterable<string>,
  graph: Graph,
  known: Map<string, DeployFailure | undefined>,
): DeployFailure | undefined {
  for (const path of below) {
    if (!known.has(path)) known.set(path, failureOf(graph.get(path), graph));
    const failure = known.get(path);
    if (failure !== undefined) return failure;
  }
  return undefined;
}

function failureOf(node: GraphNode | undefined, graph: Graph): DeployFailure | undefined {
  if (node?.compiled === undefined) return node?.failure;
  const { unit, links } = node.compiled;
  const use = missingExport(links, (path) => graph.get(path)?.compiled?.links);
  if (use === undefined) return undefined;
  const from = graph.get(use.path)?.compiled?.unit.file ?? use.path;
  const what = use.name === 'default' ? 'default export' : `export named "${use.name}"`;
  return {
    file: unit.file,
    kind: 'compile',
    message: `${from} has no ${what}`,
    ...placeOf(unit, use.offset),
  };
}

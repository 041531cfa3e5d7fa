import type { Compiled } from './compiler.ts';
import { sha256 } from './snapshot.ts';
import type { DeployFailure } from './unit.ts';

/** The newest state of one file: compiled, or why not; JSON and text have only a hash. */
export interface GraphNode {
  readonly path: string;
  readonly hash: string;
  readonly compiled?: Compiled;
  readonly failure?: DeployFailure;
  readonly wants: readonly string[];
}

/** All files that services are made of, as they are on disk now, and who imports whom. */
export class Graph {
  readonly #nodes = new Map<string, GraphNode>();
  readonly #uses = new Map<string, readonly string[]>();
  readonly #users = new Map<string, Set<string>>();

  get(path: string): GraphNode | undefined {
    return this.#nodes.get(path);
  }

  paths(): Iterable<string> {
    return this.#nodes.keys();
  }

  /** For a trial: what happens to the copy does not happen here. */
  clone(): Graph {
    const copy = new Graph();
    for (const [path, node] of this.#nodes) copy.#nodes.set(path, node);
    for (const [path, uses] of this.#uses) copy.#connect(path, [], uses);
    return copy;
  }

  /** A file that failed keeps the imports it had: they may be wanted again in a moment. */
  set(node: GraphNode): void {
    const before = this.#uses.get(node.path) ?? [];
    this.#nodes.set(node.path, node);
    if (node.failure === undefined) this.#connect(node.path, before, usesOf(node));
  }

  delete(path: string): void {
    this.#connect(path, this.#uses.get(path) ?? [], []);
    this.#nodes.delete(path);
    this.#uses.delete(path);
  }

  uses(path: string): readonly string[] {
    return this.#uses.get(path) ?? [];
  }

  users(path: string): Iterable<string> {
    return this.#users.get(path) ?? [];
  }

  /** These and all they import, however indirectly. */
  below(paths: Iterable<string>): Set<string> {
    return reach(paths, (path) => this.uses(path));
  }

  /** These and all that import them, however indirectly. */
  above(paths: Iterable<string>): Set<string> {
    return reach(paths, (path) => this.users(path));
  }

  /** Where files are, and where missing ones would be. */
  *places(): Iterable<string> {
    for (const [path, node] of this.#nodes) {
      yield path;
      if (node.failure !== undefined) yield* node.wants;
    }
  }

  /** Files whose imports may mean something else now that files with these stems came or went. */
  wanting(stems: ReadonlySet<string>): string[] {
    if (stems.size === 0) return [];
    return [...this.#nodes.values()]
      .filter((node) => node.wants.some((stem) => stems.has(stem)))
      .map((node) => node.path);
  }

  #connect(path: string, before: readonly string[], after: readonly string[]): void {
    for (const used of before) {
      const users = this.#users.get(used);
      users?.delete(path);
      if (users?.size === 0) this.#users.delete(used);
    }
    for (const used of after) {
      const users = this.#users.get(used) ?? new Set();
      this.#users.set(used, users.add(path));
    }
    this.#uses.set(path, after);
  }
}

/** One hash over files and their places: equal exactly when all of them are. */
export function hashOf(parts: Iterable<readonly [file: string, hash: string]>): string {
  const lines = [...parts].map(([file, hash]) => `${file}\0${hash}`);
  return sha256(lines.sort().join('\n')).slice(0, 12);
}

function usesOf(node: GraphNode): string[] {
  const { compiled } = node;
  return compiled === undefined ? [] : [...compiled.unit.imports, ...compiled.inlined];
}

function reach(from: Iterable<string>, next: (path: string) => Iterable<string>): Set<string> {
  const reached = new Set(from);
  // A Set's iteration also visits what is added on the way.
  for (const path of reached) for (const other of next(path)) reached.add(other);
  return reached;
}

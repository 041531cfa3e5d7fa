import type { Segment } from './path-pattern.ts';
import type { Slot } from './slot.ts';

/** A slot that takes a path. */
export interface Found {
  readonly slot: Slot;
  /** The params' values by position, not decoded yet. */
  readonly values: readonly string[];
}

interface Node {
  /**
   * A Map, because an object has to intern each text it is asked for: that costs most of a look-up.
   * Only where there is something in it: most nodes have one child, a param.
   */
  literals: Map<string, Node> | undefined;
  param: Node | undefined;
  slot: Slot | undefined;
}

/**
 * The paths with params that take one segment each, which is never empty. Of two paths the one whose
 * text goes on longer before its first param comes first.
 */
export class ParamTree {
  readonly #root = newNode();

  add(slot: Slot): void {
    let node = this.#root;
    for (const segment of slot.segments) node = childOf(node, segment) ?? addChild(node, segment);
    node.slot = slot;
  }

  remove(slot: Slot): void {
    prune(this.#root, slot.segments, 0);
  }

  /** The most specific slot that takes the path. */
  find(path: string): Found | undefined {
    return this.#search(path, true)[0];
  }

  /** Every slot that takes the path, the most specific first. */
  all(path: string): readonly Found[] {
    return this.#search(path, false);
  }

  #search(path: string, first: boolean): readonly Found[] {
    const search: Search = { path, first, values: [], found: [] };
    descend(this.#root, search, 1);
    return search.found;
  }
}

interface Search {
  readonly path: string;
  /** One is enough. */
  readonly first: boolean;
  readonly values: string[];
  readonly found: Found[];
}

/** `from` is where in the path the node's children begin. Says whether the search is over. */
function descend(node: Node, search: Search, from: number): boolean {
  const slash = search.path.indexOf('/', from);
  const part = search.path.slice(from, slash < 0 ? undefined : slash);
  const literal = node.literals?.get(part);
  if (literal && arrive(literal, search, slash)) return true;
  if (node.param === undefined || part === '') return false;
  search.values.push(part);
  const over = arrive(node.param, search, slash);
  search.values.pop();
  return over;
}

function arrive(node: Node, search: Search, slash: number): boolean {
  if (slash >= 0) return descend(node, search, slash + 1);
  if (node.slot === undefined) return false;
  search.found.push({ slot: node.slot, values: [...search.values] });
  return search.first;
}

function newNode(): Node {
  return { literals: undefined, param: undefined, slot: undefined };
}

function childOf(node: Node, segment: Segment): Node | undefined {
  return typeof segment === 'string' ? node.literals?.get(segment) : node.param;
}

function addChild(node: Node, segment: Segment): Node {
  const child = newNode();
  if (typeof segment === 'string') {
    node.literals ??= new Map();
    node.literals.set(segment, child);
  } else node.param = child;
  return child;
}

/** Takes the slot out, and the nodes that lead nowhere then. */
function prune(node: Node, segments: readonly Segment[], at: number): void {
  const segment = segments[at];
  if (segment === undefined) {
    node.slot = undefined;
    return;
  }
  const child = childOf(node, segment);
  if (child === undefined) return;
  prune(child, segments, at + 1);
  if (child.slot || child.param || child.literals) return;
  if (typeof segment !== 'string') node.param = undefined;
  else if (node.literals?.delete(segment) && node.literals.size === 0) node.literals = undefined;
}

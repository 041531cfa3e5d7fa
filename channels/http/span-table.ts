import { addRoute, createRouter, findAllRoutes, removeRoute } from 'rou3';
import { escapeLiteral } from './escape-literal.ts';
import type { Segment } from './path-pattern.ts';
import type { Slot } from './slot.ts';

interface Span {
  readonly slot: Slot;
  readonly values: readonly string[];
}

/**
 * The paths whose params also take slashes. rou3 knows one such param to a path, so it finds by
 * what stands before the first and after the last param; the middle is compared here.
 */
export class SpanTable {
  readonly #router = createRouter<Slot[]>();
  readonly #groups = new Map<string, Slot[]>();

  add(slot: Slot): void {
    const pattern = patternOf(slot.segments);
    let group = this.#groups.get(pattern);
    if (group === undefined) {
      group = [];
      this.#groups.set(pattern, group);
      addRoute(this.#router, '', pattern, group);
    }
    group.push(slot);
    // More segments say more.
    group.sort((one, other) => other.segments.length - one.segments.length);
  }

  remove(slot: Slot): void {
    const pattern = patternOf(slot.segments);
    const group = this.#groups.get(pattern);
    const at = group?.indexOf(slot) ?? -1;
    if (group === undefined || at < 0) return;
    group.splice(at, 1);
    if (group.length > 0) return;
    this.#groups.delete(pattern);
    removeRoute(this.#router, '', pattern);
  }

  /** Every slot that takes the path, the most specific first. */
  find(path: string): readonly Span[] {
    if (this.#groups.size === 0) return [];
    const parts = path.slice(1).split('/');
    const found: Span[] = [];
    for (const { data } of findAllRoutes(this.#router, '', path, { params: false }).toReversed()) {
      for (const slot of data) {
        const values = spanned(slot.segments, parts);
        if (values) found.push({ slot, values });
      }
    }
    return found;
  }
}

function patternOf(segments: readonly Segment[]): string {
  const first = segments.findIndex(isParam);
  const last = segments.findLastIndex(isParam);
  const literals = segments.filter((segment) => typeof segment === 'string').map(escapeLiteral);
  const before = literals.slice(0, first);
  const after = literals.slice(literals.length - (segments.length - 1 - last));
  // The empty segment of a slash at the end is compared here: rou3 does not see it.
  return `/${[...before, '**', ...after].filter((part) => part !== '').join('/')}`;
}

/**
 * The params' values, or undefined when the path is not of this pattern. Each param takes as few
 * segments as it can, the last one what is left.
 */
function spanned(
  segments: readonly Segment[],
  parts: readonly string[],
): readonly string[] | undefined {
  const runs = literalRuns(segments);
  const before = runs[0] ?? [];
  const after = runs.at(-1) ?? [];
  const end = parts.length - after.length;
  if (!standsAt(before, parts, 0) || end < before.length || !standsAt(after, parts, end)) {
    return undefined;
  }
  const values: string[] = [];
  let start = before.length;
  for (const run of runs.slice(1, -1)) {
    const at = nextPlace(run, parts, start, end);
    if (at === undefined) return undefined;
    values.push(parts.slice(start, at).join('/'));
    start = at + run.length;
  }
  const rest = parts.slice(start, end).join('/');
  return rest === '' ? undefined : [...values, rest];
}

/** The literals before, between and after the params: one run more than there are params. */
function literalRuns(segments: readonly Segment[]): string[][] {
  let run: string[] = [];
  const runs = [run];
  for (const segment of segments) {
    if (typeof segment === 'string') run.push(segment);
    else {
      run = [];
      runs.push(run);
    }
  }
  return runs;
}

/** Where the run first stands with something before it. */
function nextPlace(
  run: readonly string[],
  parts: readonly string[],
  start: number,
  end: number,
): number | undefined {
  for (let at = start + 1; at + run.length <= end; at++) {
    const empty = at === start + 1 && parts[start] === '';
    if (!empty && standsAt(run, parts, at)) return at;
  }
  return undefined;
}

function standsAt(run: readonly string[], parts: readonly string[], at: number): boolean {
  return run.every((text, index) => parts[at + index] === text);
}

function isParam(segment: Segment): boolean {
  return typeof segment !== 'string';
}

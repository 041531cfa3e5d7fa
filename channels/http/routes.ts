import type { Channel } from './channel.ts';
import { type Found, ParamTree } from './param-tree.ts';
import { normalizeEscapes, type Segment, shapeOf } from './path-pattern.ts';
import { Slot } from './slot.ts';
import { SpanTable } from './span-table.ts';

export type Params = Readonly<Record<string, string>>;

export type Match =
  | { readonly channel: Channel; readonly params: Params }
  /** The path is known, the method is not. */
  | { readonly channel: undefined; readonly allow: readonly string[] };

const noParams: Params = Object.freeze({});
const noValues: readonly string[] = [];

/**
 * Finds the channel of a request, and can be changed while it serves. A path without params comes
 * before one with params, which comes before one whose params span slashes.
 */
export class Routes {
  readonly #channels = new Map<string, Channel>();
  readonly #slots = new Map<string, Slot>();
  readonly #exact = new Map<string, Slot>();
  readonly #tree = new ParamTree();
  readonly #spans = new SpanTable();
  /** Paths with params, of any kind. */
  #open = 0;

  get size(): number {
    return this.#channels.size;
  }

  get(name: string): Channel | undefined {
    return this.#channels.get(name);
  }

  names(): Iterable<string> {
    return this.#channels.keys();
  }

  /** Adds the channel, or puts it in the place of the one with its name, in one step. */
  set(channel: Channel): void {
    const shape = shapeOf(channel.segments, channel.matchSlash);
    const before = this.#channels.get(channel.name);
    if (before && shapeOf(before.segments, before.matchSlash) === shape) {
      this.#slots.get(shape)?.remove(before);
    } else this.remove(channel.name);
    let slot = this.#slots.get(shape);
    if (slot === undefined) {
      slot = new Slot(shape, channel.segments);
      this.#open += this.#place(slot, channel.matchSlash);
      this.#slots.set(shape, slot);
    }
    slot.add(channel);
    this.#channels.set(channel.name, channel);
  }

  remove(name: string): void {
    const channel = this.#channels.get(name);
    if (channel === undefined) return;
    this.#channels.delete(name);
    const slot = this.#slots.get(shapeOf(channel.segments, channel.matchSlash));
    slot?.remove(channel);
    if (slot === undefined || !slot.empty) return;
    this.#slots.delete(slot.shape);
    this.#open -= this.#displace(slot, channel.matchSlash);
  }

  /** @throws URIError when a param's value is not valid percent-encoded UTF-8. */
  match(method: string, path: string): Match | undefined {
    const exact = this.#exact.get(path);
    const channel = exact?.pick(method);
    if (channel) return { channel, params: noParams };
    if (this.#open === 0 && exact === undefined && !path.includes('%')) return undefined;
    return this.#search(method, normalizeEscapes(path));
  }

  #search(method: string, path: string): Match | undefined {
    const best = this.#open === 0 ? undefined : this.#best(path);
    const first = this.#exact.has(path) ? undefined : best?.slot.pick(method);
    if (best && first) return { channel: first, params: decode(first.segments, best.values) };
    const found = this.#all(path);
    for (const { slot, values } of found) {
      const channel = slot.pick(method);
      if (channel) return { channel, params: decode(channel.segments, values) };
    }
    return found.length === 0 ? undefined : { channel: undefined, allow: allowed(found) };
  }

  /** The most specific path with params. */
  #best(path: string): Found | undefined {
    return this.#tree.find(path) ?? this.#spans.find(path)[0];
  }

  /** Every path that takes this one, the most specific first. */
  #all(path: string): readonly Found[] {
    const exact = this.#exact.get(path);
    const found: Found[] = exact ? [{ slot: exact, values: noValues }] : [];
    if (this.#open === 0) return found;
    found.push(...this.#tree.all(path), ...this.#spans.find(path));
    return found;
  }

  /** Returns how many paths with params were added. */
  #place(slot: Slot, matchSlash: boolean): 0 | 1 {
    if (isExact(slot.segments)) {
      this.#exact.set(slot.shape, slot);
      return 0;
    }
    if (matchSlash) this.#spans.add(slot);
    else this.#tree.add(slot);
    return 1;
  }

  #displace(slot: Slot, matchSlash: boolean): 0 | 1 {
    if (isExact(slot.segments)) {
      this.#exact.delete(slot.shape);
      return 0;
    }
    if (matchSlash) this.#spans.remove(slot);
    else this.#tree.remove(slot);
    return 1;
  }
}

function isExact(segments: readonly Segment[]): boolean {
  return segments.every((segment) => typeof segment === 'string');
}

function decode(segments: readonly Segment[], values: readonly string[]): Params {
  if (values.length === 0) return noParams;
  const params: Record<string, string> = {};
  let at = 0;
  for (const segment of segments) {
    if (typeof segment === 'string') continue;
    const value = values[at++] ?? '';
    params[segment.param] = value.includes('%') ? decodeURIComponent(value) : value;
  }
  return params;
}

function allowed(found: readonly Found[]): readonly string[] {
  const methods = new Set<string>(['OPTIONS']);
  for (const { slot } of found) {
    for (const method of slot.methods()) methods.add(method);
  }
  if (methods.has('GET')) methods.add('HEAD');
  return [...methods].sort();
}

import type { Channel } from './channel.ts';
import type { Segment } from './path-pattern.ts';

/** The channels of one path shape, by method. */
export class Slot {
  readonly shape: string;
  readonly segments: readonly Segment[];
  readonly #byMethod = new Map<string, Channel>();

  constructor(shape: string, segments: readonly Segment[]) {
    this.shape = shape;
    this.segments = segments;
  }

  get empty(): boolean {
    return this.#byMethod.size === 0;
  }

  add(channel: Channel): void {
    this.#byMethod.set(channel.method, channel);
  }

  /** Leaves a channel alone that has taken the place meanwhile. */
  remove(channel: Channel): void {
    if (this.#byMethod.get(channel.method) === channel) this.#byMethod.delete(channel.method);
  }

  /** The channel for a method; a GET channel also answers HEAD. */
  pick(method: string): Channel | undefined {
    const own = this.#byMethod.get(method) ?? this.#byMethod.get('any');
    return own ?? (method === 'HEAD' ? this.#byMethod.get('GET') : undefined);
  }

  methods(): Iterable<string> {
    return this.#byMethod.keys();
  }
}

import type { Channel } from './channel.ts';
import type { Segment } from './path-pattern.ts';

/** The channels of one path shape, by method. */
export class Slot {
  readonly shape: string;
  readonly segments: readonly Segment[];
  #channels: readonly Channel[] = [];

  constructor(shape: string, segments: readonly Segment[]) {
    this.shape = shape;
    this.segments = segments;
  }

  get empty(): boolean {
    return this.#channels.length === 0;
  }

  add(channel: Channel): void {
    this.#channels = [...this.#channels.filter(({ method }) => method !== channel.method), channel];
  }

  /** Leaves a channel alone that has taken the place meanwhile. */
  remove(channel: Channel): void {
    this.#channels = this.#channels.filter((each) => each !== channel);
  }

  /** The channel for a method; a GET channel also answers HEAD. */
  pick(method: string): Channel | undefined {
    const [only, another] = this.#channels;
    // Nearly every path has one channel.
    if (only && !another && (only.method === method || only.method === 'any')) return only;
    const own = this.#of(method) ?? this.#of('any');
    return own ?? (method === 'HEAD' ? this.#of('GET') : undefined);
  }

  methods(): readonly string[] {
    return this.#channels.map(({ method }) => method);
  }

  #of(method: string): Channel | undefined {
    return this.#channels.find((channel) => channel.method === method);
  }
}

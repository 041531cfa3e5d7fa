import type { Delivery, Lease } from '../../../runtime/pubsub/message.ts';
import type { DeliveryFrame } from './delivery-frame.ts';

interface Entry {
  readonly lease: Lease;
  readonly frame: string;
  until: number;
  sent: boolean;
}

/** Messages that one subscriber was given and that are not settled, without their data. */
export class HandedOut {
  readonly #leaseMs: number;
  /** By the id that the client knows. */
  readonly #entries = new Map<string, Entry>();
  /** Ids by the frame they went in. */
  readonly #frames = new Map<string, readonly string[]>();

  constructor(leaseMs: number) {
    this.#leaseMs = leaseMs;
  }

  get size(): number {
    return this.#entries.size;
  }

  add(
    { id: frame, ids }: Pick<DeliveryFrame, 'id' | 'ids'>,
    deliveries: readonly Delivery[],
  ): void {
    for (const [at, { message, token, leasedUntil }] of deliveries.entries()) {
      const id = ids[at] ?? '';
      // Again, after the first lease of it ran out.
      this.#forget(id);
      const lease = { message: { msgId: message.msgId }, token };
      this.#entries.set(id, { lease, frame, until: leasedUntil, sent: false });
    }
    this.#frames.set(frame, ids);
  }

  knows(id: string): boolean {
    return this.#entries.has(id) || this.#frames.has(id);
  }

  /** By the id of a message or of a frame; none when it is not known. */
  take(id: string): readonly Lease[] {
    const ids = this.#frames.get(id) ?? [id];
    const leases = this.leases(ids);
    for (const each of ids) this.#forget(each);
    this.#frames.delete(id);
    return leases;
  }

  takeAll(): readonly Lease[] {
    const leases = this.leases([...this.#entries.keys()]);
    this.#entries.clear();
    this.#frames.clear();
    return leases;
  }

  leases(ids: readonly string[]): readonly Lease[] {
    return ids.flatMap((id) => this.#entries.get(id)?.lease ?? []);
  }

  sent(frame: string): void {
    for (const id of this.#frames.get(frame) ?? []) {
      const entry = this.#entries.get(id);
      if (entry) entry.sent = true;
    }
  }

  unsent(): readonly string[] {
    return [...this.#entries].filter(([, { sent }]) => !sent).map(([id]) => id);
  }

  renewed(ids: readonly string[]): void {
    const until = Date.now() + this.#leaseMs;
    for (const id of ids) {
      const entry = this.#entries.get(id);
      if (entry) entry.until = until;
    }
  }

  /** Forgets those whose lease ran out; in how many ms the next one does. */
  lapse(): number | undefined {
    const now = Date.now();
    let next: number | undefined;
    for (const [id, { until }] of [...this.#entries]) {
      if (until <= now) this.#forget(id);
      else next = Math.min(next ?? until, until);
    }
    return next === undefined ? undefined : next - now;
  }

  #forget(id: string): void {
    const entry = this.#entries.get(id);
    if (!entry) return;
    this.#entries.delete(id);
    const ids = this.#frames.get(entry.frame) ?? [];
    if (ids.every((one) => !this.#entries.has(one))) this.#frames.delete(entry.frame);
  }
}

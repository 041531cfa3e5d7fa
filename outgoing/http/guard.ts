import { formatDuration, parseDuration } from '../../runtime/core/duration.ts';
import { Fault } from '../../runtime/core/fault.ts';
import type { OutgoingReply } from '../../runtime/service/ports.ts';
import type { OutgoingSpec } from './definition.ts';

/** What one process learned from a reply and the others should know. */
export type Notice =
  | { readonly kind: 'parked'; readonly until: number }
  | { readonly kind: 'refused'; readonly at: number };

/** A 429 with a reset further away than this is taken for a mistake. */
const maxParkMs = 32 * 24 * 60 * 60 * 1_000;
/** 4xx that a repeat may cure. */
const passing = new Set([408, 425, 429]);

/** Keeps a connection from calling while the other side has said to wait or has refused too often. */
export class Guard {
  readonly #name: string;
  readonly #park: OutgoingSpec['park'];
  readonly #most: number;
  readonly #withinMs: number;
  readonly #pauseMs: number;
  #refusals: number[] = [];
  #parkedUntil = 0;
  #pausedUntil = 0;

  constructor(name: string, spec: OutgoingSpec) {
    this.#name = name;
    this.#park = spec.park;
    this.#most = spec.banGuard.refusals;
    this.#withinMs = parseDuration(spec.banGuard.within);
    this.#pauseMs = parseDuration(spec.banGuard.pause);
  }

  /** @throws Fault `too-many` while parked, `unavailable` while paused. */
  check(now: number): void {
    if (now < this.#parkedUntil) {
      const why = `the other side allows no more calls for ${formatDuration(this.#parkedUntil - now)}`;
      throw new Fault('too-many', `Outgoing ${this.#name}: ${why}`, {
        retryAfterMs: this.#parkedUntil - now,
      });
    }
    if (now < this.#pausedUntil) {
      const why = `paused after ${this.#most} refusals in ${formatDuration(this.#withinMs)}, next try in`;
      const leftMs = this.#pausedUntil - now;
      throw new Fault('unavailable', `Outgoing ${this.#name}: ${why} ${formatDuration(leftMs)}`, {
        retryAfterMs: leftMs,
      });
    }
  }

  /** What a reply tells, if the guard is on for it; apply it with `heed`. */
  read(reply: OutgoingReply, now: number): Notice | undefined {
    if (reply.status === 429) {
      return this.#park.enabled ? { kind: 'parked', until: this.#untilOf(reply, now) } : undefined;
    }
    const refused = reply.status >= 400 && reply.status < 500 && !passing.has(reply.status);
    return refused && this.#most > 0 ? { kind: 'refused', at: now } : undefined;
  }

  /** True when this notice has just paused the connection. */
  heed(notice: Notice): boolean {
    if (notice.kind === 'parked') {
      this.#parkedUntil = Math.max(this.#parkedUntil, notice.until);
      return false;
    }
    this.#refusals = [...this.#refusals.filter((at) => at > notice.at - this.#withinMs), notice.at];
    if (this.#most === 0 || this.#refusals.length < this.#most) return false;
    this.#refusals = [];
    this.#pausedUntil = notice.at + this.#pauseMs;
    return true;
  }

  parkedUntil(now: number): number | undefined {
    return this.#parkedUntil > now ? this.#parkedUntil : undefined;
  }

  pausedUntil(now: number): number | undefined {
    return this.#pausedUntil > now ? this.#pausedUntil : undefined;
  }

  #untilOf(reply: OutgoingReply, now: number): number {
    const named =
      this.#park.header === undefined ? undefined : reply.headers[this.#park.header.toLowerCase()];
    const reset = named !== undefined && /^\d{1,12}$/.test(named) ? Number(named) * 1_000 - now : 0;
    const waitMs =
      reset > 0 ? reset : (retryAfterMs(reply, now) ?? parseDuration(this.#park.fallback));
    return now + Math.min(waitMs, maxParkMs);
  }
}

/** How long the reply's Retry-After (seconds or a date) says to wait. */
export function retryAfterMs(reply: OutgoingReply, now: number): number | undefined {
  const header = reply.headers['retry-after']?.trim();
  if (header === undefined) return undefined;
  if (/^\d{1,9}$/.test(header)) return Number(header) * 1_000;
  const at = Date.parse(header);
  return Number.isNaN(at) ? undefined : Math.max(0, at - now);
}

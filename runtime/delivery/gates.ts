import type { Redis } from 'ioredis';
import type { Logger } from '../log/logger.ts';

export interface GatesOptions {
  /** A connection that fails fast. */
  readonly redis: Redis;
  readonly log: Logger;
  readonly namespace?: string;
  /** How long the breaker stays open the first time; n times as long the nth; default 30 s. */
  readonly resetMs?: number;
}

/** Whether messages may be taken for an endpoint. `probe`: one, to see whether it works again. */
export type Look =
  | { readonly kind: 'open' }
  | { readonly kind: 'probe' }
  | { readonly kind: 'closed'; readonly waitMs: number };

const failuresToOpen = 5;
const defaultResetMs = 30_000;
const maxClosedMs = 10 * 60_000;
/** An endpoint that asks for longer is taken for mistaken. */
export const maxAskedMs = 24 * 3_600_000;
/** What other processes did is seen within. */
const freshMs = 250;
const otherProbeMs = 2_000;

/** The gates of all endpoints, as this process knows them. */
export class Gates {
  readonly #options: GatesOptions;
  readonly #gates = new Map<string, Gate>();

  constructor(options: GatesOptions) {
    this.#options = options;
  }

  of(endpoint: string): Gate {
    const known = this.#gates.get(endpoint);
    if (known) return known;
    const made = new Gate(endpoint, this.#options);
    this.#gates.set(endpoint, made);
    return made;
  }
}

/**
 * Closed for a while when an endpoint failed 5 messages in a row, or asked for peace. The state is in Redis, where it
 * expires by itself: every process heeds it, and no clock but Redis' counts.
 */
export class Gate {
  readonly endpoint: string;
  readonly #redis: Redis;
  readonly #log: Logger;
  readonly #resetMs: number;
  readonly #keys: { readonly closed: string; readonly openings: string; readonly probe: string };
  /** Different ones: one bad message that fails again and again says nothing of the others. */
  readonly #failed = new Set<string>();
  #openings = 0;
  #closedUntil = 0;
  #freshUntil = 0;

  constructor(endpoint: string, { redis, log, namespace = 'hence', resetMs }: GatesOptions) {
    this.endpoint = endpoint;
    this.#redis = redis;
    this.#log = log;
    this.#resetMs = resetMs ?? defaultResetMs;
    const key = (kind: string) => `{${namespace}}:delivery:${kind}:${endpoint}`;
    this.#keys = { closed: key('closed'), openings: key('openings'), probe: key('probe') };
  }

  /** For how long it is closed, as far as this process knows, in ms. */
  get closedMs(): number {
    return Math.max(0, this.#closedUntil - performance.now());
  }

  /** `probeMs`: how long a probe may take. */
  async look(probeMs: number): Promise<Look> {
    if (performance.now() >= this.#freshUntil) await this.#read();
    const leftMs = this.closedMs;
    if (leftMs > 0) return { kind: 'closed', waitMs: Math.ceil(leftMs) };
    if (this.#openings === 0) return { kind: 'open' };
    // Closed once and not yet seen to work: one message, over all processes.
    const mine = await this.#redis.set(this.#keys.probe, '1', 'PX', Math.ceil(probeMs), 'NX');
    if (mine === 'OK') return { kind: 'probe' };
    this.#freshUntil = 0;
    return { kind: 'closed', waitMs: otherProbeMs };
  }

  succeeded(): void {
    if (this.#failed.size > 0) this.#failed.clear();
  }

  /** The probe went well: open for all. */
  async reopen(): Promise<void> {
    this.#failed.clear();
    this.#openings = 0;
    this.#closedUntil = 0;
    await this.#redis.del(this.#keys.openings, this.#keys.probe, this.#keys.closed);
    this.#log.info('delivery: the endpoint works again', { endpoint: this.endpoint });
  }

  /** How long the gate is closed after this failure, in ms. */
  async failed(msgId: string, probe: boolean): Promise<number> {
    const leftMs = this.closedMs;
    if (leftMs > 0) return leftMs;
    this.#failed.add(msgId);
    if (!probe && this.#failed.size < failuresToOpen) return 0;
    this.#failed.clear();
    this.#openings++;
    const closedMs = Math.min(this.#resetMs * this.#openings, maxClosedMs);
    this.#shut(closedMs);
    this.#log.warn('delivery: the endpoint fails, its messages wait', {
      endpoint: this.endpoint,
      closedMs,
    });
    await this.#redis
      .multi()
      .set(this.#keys.closed, 'failing', 'PX', closedMs)
      .set(this.#keys.openings, this.#openings, 'PX', closedMs + 2 * maxClosedMs)
      .del(this.#keys.probe)
      .exec();
    return closedMs;
  }

  /** Nothing is sent there for so long: the endpoint asked for it, or is not there. */
  async hold(waitMs: number): Promise<void> {
    const heldMs = Math.ceil(Math.min(Math.max(waitMs, 1), maxAskedMs));
    if (this.closedMs >= heldMs) return;
    this.#shut(heldMs);
    await this.#redis.set(this.#keys.closed, 'held', 'PX', heldMs);
  }

  /** A probe that told nothing: another may try. */
  async unprobed(): Promise<void> {
    await this.#redis.del(this.#keys.probe);
  }

  #shut(ms: number): void {
    this.#closedUntil = performance.now() + ms;
    this.#freshUntil = performance.now() + freshMs;
  }

  async #read(): Promise<void> {
    const [left, openings] = await Promise.all([
      this.#redis.pttl(this.#keys.closed),
      this.#redis.get(this.#keys.openings),
    ]);
    const now = performance.now();
    this.#closedUntil = left > 0 ? now + left : 0;
    this.#openings = Number(openings ?? 0);
    this.#freshUntil = now + freshMs;
  }
}

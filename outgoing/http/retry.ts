import { parseDuration } from '../../runtime/core/duration.ts';
import type { Method, OutgoingSpec } from './definition.ts';
import type { Failure } from './failure.ts';
import { retryAfterMs } from './guard.ts';
import type { HttpReply } from './reply.ts';

/** How one try ended. */
export type Outcome =
  | { readonly kind: 'reply'; readonly reply: HttpReply }
  | { readonly kind: 'failure'; readonly failure: Failure };

/** How much of a delay is added at random, so that many callers do not come back at once. */
const jitter = 0.2;

/** Says whether a try is repeated, and when. */
export class RetryPolicy {
  readonly #attempts: number;
  readonly #delayMs: number;
  readonly #maxDelayMs: number;
  readonly #on: ReadonlySet<string>;
  readonly #methods: ReadonlySet<Method>;

  constructor(retry: OutgoingSpec['retry']) {
    this.#attempts = retry.attempts;
    this.#delayMs = parseDuration(retry.delay);
    this.#maxDelayMs = Math.max(this.#delayMs, parseDuration(retry.maxDelay));
    this.#on = new Set(retry.on);
    this.#methods = new Set(retry.methods);
  }

  /** How long to wait before the next try, or undefined when there is none. */
  delayMs(
    method: Method,
    outcome: Outcome,
    attempt: number,
    now: { ms: number; random: number },
  ): number | undefined {
    if (attempt >= this.#attempts || !this.#methods.has(method) || !this.#covers(outcome))
      return undefined;
    const backOff = Math.min(this.#delayMs * 2 ** (attempt - 1), this.#maxDelayMs);
    const asked = outcome.kind === 'reply' ? (retryAfterMs(outcome.reply, now.ms) ?? 0) : 0;
    return Math.max(backOff * (1 + jitter * now.random), asked);
  }

  #covers(outcome: Outcome): boolean {
    if (outcome.kind === 'failure') {
      const { kind } = outcome.failure;
      return this.#on.has(kind === 'queue' ? 'timeout' : kind);
    }
    const { status, garbled } = outcome.reply;
    const byStatus = this.#on.has(String(status)) || this.#on.has(`${Math.floor(status / 100)}xx`);
    return byStatus || (garbled && this.#on.has('invalid'));
  }
}

/** Why a try is repeated, for the log. */
export function reasonOf(outcome: Outcome): string {
  if (outcome.kind === 'failure') return outcome.failure.fault.message;
  return outcome.reply.garbled
    ? `status ${outcome.reply.status}, not JSON`
    : `status ${outcome.reply.status}`;
}

import { Fault } from '../core/fault.ts';
import { type Attempt, errorText, type Outcome, type Target } from './outcome.ts';
import { pushBody } from './push-body.ts';
import type { DeliverySubscription } from './subscription.ts';
import { zato2PushBody } from './zato2-body.ts';

interface PushReply {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
}

interface PushRequest {
  readonly headers: Readonly<Record<string, string>>;
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
  /** The connection must not repeat it by itself: the subscription does. */
  readonly retry: false;
}

interface PushConnection {
  post(cid: string, data: string, request: PushRequest): Promise<PushReply>;
}

/** @throws when no such connection exists */
export type PushConnections = (name: string) => { readonly conn: PushConnection };

/** With a 429 that does not say how long. */
const defaultThrottleMs = 5_000;
/** Statuses below 500 that a later try may cure. */
const passing = new Set([408, 425]);
/** Whatever is sent there gets these. */
const ofTheEndpoint = new Set([401, 403, 404, 405, 407]);

export class HttpTarget implements Target {
  readonly #connections: PushConnections;

  constructor(connections: PushConnections) {
    this.#connections = connections;
  }

  ready({ outgoing = '' }: DeliverySubscription): boolean {
    try {
      return this.#connections(outgoing) !== undefined;
    } catch {
      return false;
    }
  }

  version(): undefined {
    return undefined;
  }

  async deliver({ subscription, delivery, timeoutMs, signal }: Attempt): Promise<Outcome> {
    const { message, deliveries } = delivery;
    const zato2 = subscription.format === 'zato2';
    try {
      const { conn } = this.#connections(subscription.outgoing ?? '');
      const body = zato2 ? zato2PushBody(message) : pushBody(message);
      const reply = await conn.post(message.cid, body.text, {
        timeoutMs,
        signal,
        retry: false,
        headers: {
          ...body.headers,
          'idempotency-key': message.msgId,
          'x-hence-delivery': String(deliveries),
        },
      });
      return zato2 ? zato2OutcomeOf(reply) : outcomeOf(reply);
    } catch (thrown) {
      return failureOf(thrown);
    }
  }
}

/** A fault that says how long to wait was made before anything was sent: parked, paused, or breaker open. */
function failureOf(thrown: unknown): Outcome {
  const error = errorText(thrown);
  const waitMs = Fault.is(thrown) ? thrown.retryAfterMs : undefined;
  if (waitMs !== undefined) return { kind: 'held', error, waitMs };
  return { kind: 'failed', error, endpoint: !Fault.is(thrown) || thrown.code !== 'bad-request' };
}

function outcomeOf({ status, headers }: PushReply): Outcome {
  if (status >= 200 && status < 300) return { kind: 'done' };
  const error = `answered ${status}`;
  const retryAfterMs = retryAfter(headers['retry-after']);
  if (status < 400) {
    return { kind: 'failed', error: `redirect_not_followed: ${error}`, endpoint: true };
  }
  if (status === 410) return { kind: 'gone', error };
  if (status === 429) return { kind: 'held', error, waitMs: retryAfterMs ?? defaultThrottleMs };
  if (status < 500 && !passing.has(status)) {
    return { kind: 'failed', error, endpoint: ofTheEndpoint.has(status), refused: true };
  }
  return {
    kind: 'failed',
    error,
    endpoint: true,
    ...(retryAfterMs === undefined ? {} : { retryAfterMs, forAll: true }),
  };
}

/** Zato 2.0: 200 acknowledges, anything else rejects; it knows no last word. */
function zato2OutcomeOf(reply: PushReply): Outcome {
  if (reply.status === 200) return { kind: 'done' };
  const outcome = outcomeOf(reply);
  if (outcome.kind === 'held') return outcome;
  if (outcome.kind !== 'failed') {
    return {
      kind: 'failed',
      error: `answered ${reply.status}, and only 200 accepts`,
      endpoint: true,
    };
  }
  const { refused: _, ...failed } = outcome;
  return failed;
}

/** Seconds, or a date. */
function retryAfter(header: string | undefined): number | undefined {
  const text = header?.trim();
  if (!text) return undefined;
  if (/^\d{1,9}$/.test(text)) return Number(text) * 1_000;
  const at = Date.parse(text);
  return Number.isNaN(at) ? undefined : Math.max(0, at - Date.now());
}

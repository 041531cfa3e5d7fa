import type { Ended, Running } from './attempt.ts';
import { type Gates, maxAskedMs } from './gates.ts';
import type { Marks } from './marks.ts';
import type { Failed } from './outcome.ts';
import type { DeliveryNote, Rejection, Settled } from './ports.ts';
import { retryDelayMs } from './retry-delay.ts';
import type { Settlement } from './settlement.ts';
import { endpointOf } from './subscription.ts';

/** Whom the deliveries tell what happened. */
export interface Told {
  note(note: DeliveryNote): void;
  failed(facts: Readonly<Record<string, unknown>>): void;
  dead(facts: Readonly<Record<string, unknown>>): void;
  trouble(subKey: string, error: unknown): void;
  lost(subKey: string, error: unknown, messages: number): void;
  /** The endpoint said 410: it wants no more. */
  gone(subKey: string, reason: string): Promise<void>;
}

export interface VerdictsOptions {
  readonly gates: Gates;
  readonly marks: Marks;
  readonly told: Told;
  readonly settlement: Settlement;
}

/** An endpoint that refuses a message with 4xx is asked so often. */
const refusedTries = 3;
const goneRestMs = 1_000;

/** Draws the consequences of each attempt. */
export class Verdicts {
  readonly #options: VerdictsOptions;
  /** Token of the delivery that shows whether the endpoint works again. */
  probing: string | undefined;
  #restMs: number | undefined;

  constructor(options: VerdictsOptions) {
    this.#options = options;
  }

  /** Set when nothing more may be delivered now: for how long. */
  get restMs(): number | undefined {
    return this.#restMs;
  }

  async apply(running: Running, ended: Ended, version: string | undefined): Promise<void> {
    const probe = this.probing === running.delivery.token;
    try {
      switch (ended.kind) {
        case 'done':
          return await this.#done(running, probe);
        case 'failed':
          return await this.#failed(running, ended, { probe, version });
        case 'held':
          return await this.#held(running, ended.waitMs, probe);
        case 'gone':
          return await this.#gone(running, ended.error, probe);
        case 'abandoned':
          return await this.#back(running, probe);
      }
    } finally {
      if (probe) this.probing = undefined;
    }
  }

  async #done(running: Running, probe: boolean): Promise<void> {
    const { settlement, told } = this.#options;
    settlement.ack(running.delivery);
    const gate = this.#gate(running);
    gate.succeeded();
    told.note(noteOf(running, 'delivered', {}));
    if (probe) await gate.reopen();
    if (running.subscription.ordered) await settlement.flushed();
  }

  async #failed(
    running: Running,
    failed: Failed,
    { probe, version }: { probe: boolean; version: string | undefined },
  ): Promise<void> {
    const { delivery, subscription } = running;
    const dead = failed.refused && delivery.failures + 1 >= refusedTries;
    const scheduledMs = retryDelayMs(subscription.retryMs, delivery.failures);
    const delayMs = Math.max(scheduledMs, Math.min(failed.retryAfterMs ?? 0, maxAskedMs));
    const rejection: Rejection = {
      delayMs,
      reason: failed.error,
      maxDeliveries: subscription.maxDeliveries,
      ...(dead ? { dead: 'rejected-by-endpoint' } : {}),
      ...(version === undefined ? {} : { version }),
    };
    const settled = subscription.ordered
      ? await this.#holdingBack(running, rejection)
      : this.#rejected(running, rejection);
    await this.#judge(running, failed, probe);
    this.#tell(running, failed.error, { settled: await settled, delayMs, dead });
  }

  /** The next message must not overtake: the mark is there before the message is given back. */
  async #holdingBack(running: Running, rejection: Rejection): Promise<Settled> {
    const { marks } = this.#options;
    const { subKey, message } = running.delivery;
    const delayMs = rejection.delayMs ?? 0;
    await marks.hold(subKey, message.msgId, delayMs);
    const settled = await this.#rejected(running, rejection);
    if (settled === 'delayed') this.#rest(delayMs);
    else await marks.release(subKey);
    return settled;
  }

  async #judge(running: Running, failed: Failed, probe: boolean): Promise<void> {
    const gate = this.#gate(running);
    if (failed.retryAfterMs !== undefined && failed.forAll) {
      await gate.hold(failed.retryAfterMs);
      this.#rest(failed.retryAfterMs);
    }
    if (!failed.endpoint) {
      gate.succeeded();
      if (probe) await gate.reopen();
      return;
    }
    const closedMs = await gate.failed(running.delivery.message.msgId, probe);
    if (closedMs > 0) this.#rest(closedMs);
  }

  async #held(running: Running, waitMs: number, probe: boolean): Promise<void> {
    const gate = this.#gate(running);
    await gate.hold(waitMs);
    this.#rest(waitMs);
    await this.#back(running, probe);
  }

  async #gone(running: Running, error: string, probe: boolean): Promise<void> {
    this.#rest(goneRestMs);
    const { told } = this.#options;
    told.note(noteOf(running, 'attempt', { ok: false, error }));
    await told.gone(running.delivery.subKey, error);
    await this.#back(running, probe);
  }

  /** In its own place again; no attempt of its own. */
  async #back(running: Running, probe: boolean): Promise<void> {
    if (probe) await this.#gate(running).unprobed();
    await this.#rejected(running, { countFailure: false });
  }

  #rejected({ delivery }: Running, rejection: Rejection): Promise<Settled> {
    const { message, token } = delivery;
    return this.#options.settlement.reject({ message, token, ...rejection });
  }

  #rest(ms: number): void {
    this.#restMs = Math.max(this.#restMs ?? 0, ms);
  }

  #gate({ subscription }: Running): ReturnType<Gates['of']> {
    return this.#options.gates.of(endpointOf(subscription));
  }

  #tell(
    running: Running,
    error: string,
    after: { settled: Settled; delayMs: number; dead: boolean | undefined },
  ): void {
    const { told } = this.#options;
    const { delivery, subscription } = running;
    const { settled, delayMs } = after;
    const facts = {
      subscription: subscription.name,
      endpoint: endpointOf(subscription),
      msgId: delivery.message.msgId,
      cid: delivery.message.cid,
      attempt: delivery.failures + 1,
      error,
    };
    const again = settled === 'dead' ? {} : { delayMs };
    told.note(noteOf(running, 'attempt', { ok: false, error, ...again }));
    if (settled !== 'dead') {
      told.failed({ ...facts, delayMs });
      return;
    }
    const reason = after.dead ? 'rejected-by-endpoint' : 'max-deliveries';
    told.dead({ ...facts, reason });
    told.note(noteOf(running, 'dead', { reason, error }));
  }
}

function noteOf(
  { delivery, subscription, ms }: Running,
  step: DeliveryNote['step'],
  facts: Readonly<Record<string, unknown>>,
): DeliveryNote {
  const { message, subKey, deliveries } = delivery;
  return {
    cid: message.cid,
    msgId: message.msgId,
    step,
    facts: {
      subKey,
      subscription: subscription.name,
      endpoint: endpointOf(subscription),
      attempt: deliveries,
      ms: Math.round(ms),
      ...facts,
    },
  };
}

import type { Journey } from './journey.ts';
import type { StepFacts } from './step.ts';

/** What a push delivery tells of one message. */
interface DeliveryNote {
  readonly cid: string;
  readonly msgId: string;
  readonly step: 'attempt' | 'delivered' | 'dead';
  readonly facts: Readonly<Record<string, unknown>>;
}

/** Whom push deliveries tell. */
export function observeDelivery(journey: Journey): (note: DeliveryNote) => void {
  return ({ cid, msgId, step, facts }) => {
    const { ms, delayMs } = facts;
    const tookMs = typeof ms === 'number' ? ms : 0;
    journey.note({
      cid,
      kind: step,
      at: Date.now() - tookMs,
      ms: tookMs,
      ok: step === 'delivered',
      // What is not listed for a step is left out when it is stored.
      facts: {
        ...(facts as StepFacts),
        msgId,
        ...(typeof delayMs === 'number' ? { againInMs: delayMs } : {}),
      },
    });
  };
}

import { failureText } from './failure-text.ts';
import type { Journey } from './journey.ts';
import type { StepFacts } from './step.ts';

interface PublicationFacts {
  readonly topic: string;
  readonly cid: string;
  readonly publisher?: string | undefined;
  readonly inReplyTo?: string | undefined;
}

interface PublishedFacts {
  readonly msgId: string;
  readonly queues: number;
  readonly duplicate: boolean;
}

interface MessageFacts {
  readonly msgId: string;
  readonly cid?: string;
  readonly topic?: string;
}

interface RejectionFacts {
  readonly message: MessageFacts;
  readonly delayMs?: number;
  readonly reason?: string;
  readonly dead?: string;
  readonly countFailure?: boolean;
  readonly version?: string;
}

/** The verbs of a broker that make steps of a journey. */
interface BrokerVerbs {
  publish(publication: PublicationFacts): Promise<PublishedFacts>;
  publishMany(
    publications: readonly PublicationFacts[],
  ): Promise<readonly (PublishedFacts | Error)[]>;
  take(
    subKey: string,
    options: never,
  ): Promise<readonly { readonly message: MessageFacts; readonly deliveries: number }[]>;
  ack(
    subKey: string,
    leases: readonly { readonly message: MessageFacts }[],
  ): Promise<readonly boolean[]>;
  reject(subKey: string, rejections: readonly RejectionFacts[]): Promise<readonly string[]>;
  remove(subKey: string, msgId: string): Promise<boolean>;
  redrive(subKey: string, options?: { readonly msgIds?: readonly string[] }): Promise<number>;
}

/** The same broker; what happens to messages through it is noted. */
export function observeBroker<B extends BrokerVerbs>(
  broker: B,
  journey: Journey,
  /** The name of a subscription; its key where it has none. */
  nameOf: (subKey: string) => string,
): B {
  const verbs: BrokerVerbs = {
    ...publishing(broker, journey),
    ...taking(broker, journey, nameOf),
    ...operating(broker, journey, nameOf),
  };
  const bound = new Map<string | symbol, unknown>(Object.entries(verbs));
  return new Proxy(broker, {
    get(target, name) {
      const known = bound.get(name);
      if (known !== undefined) return known;
      const value: unknown = Reflect.get(target, name, target);
      if (typeof value !== 'function') return value;
      // Its private fields want the broker itself.
      const own: unknown = value.bind(target);
      bound.set(name, own);
      return own;
    },
  });
}

function publishing(
  broker: BrokerVerbs,
  journey: Journey,
): Pick<BrokerVerbs, 'publish' | 'publishMany'> {
  const note = (publication: PublicationFacts, outcome: PublishedFacts | Error, at: number) => {
    const { topic, cid, publisher, inReplyTo } = publication;
    const ok = !(outcome instanceof Error);
    const facts: StepFacts = {
      topic,
      ...(publisher === undefined ? {} : { publisher }),
      ...(inReplyTo === undefined ? {} : { inReplyTo }),
      ...(ok ? { msgId: outcome.msgId, queues: outcome.queues } : { error: failureText(outcome) }),
      ...(ok && outcome.duplicate ? { duplicate: true } : {}),
    };
    journey.note({ cid, kind: 'publish', at, ms: Date.now() - at, ok, facts });
  };
  return {
    async publish(publication) {
      const at = Date.now();
      try {
        const published = await broker.publish(publication);
        note(publication, published, at);
        return published;
      } catch (error) {
        note(publication, errorOf(error), at);
        throw error;
      }
    },
    async publishMany(publications) {
      const at = Date.now();
      const outcomes = await broker.publishMany(publications);
      for (const [index, publication] of publications.entries()) {
        const outcome = outcomes[index];
        if (outcome !== undefined) note(publication, outcome, at);
      }
      return outcomes;
    },
  };
}

function taking(
  broker: BrokerVerbs,
  journey: Journey,
  nameOf: (subKey: string) => string,
): Pick<BrokerVerbs, 'take' | 'ack' | 'reject'> {
  return {
    async take(subKey, options) {
      const deliveries = await broker.take(subKey, options);
      if (deliveries.length === 0) return deliveries;
      const subscription = nameOf(subKey);
      for (const { message, deliveries: attempt } of deliveries) {
        const facts = { subscription, ...factsOf(message), attempt };
        journey.note({ cid: message.cid ?? '', kind: 'delivered', facts });
      }
      return deliveries;
    },
    async ack(subKey, leases) {
      const held = await broker.ack(subKey, leases);
      const subscription = nameOf(subKey);
      for (const [index, { message }] of leases.entries()) {
        const facts = { subscription, ...factsOf(message) };
        const step = { cid: message.cid ?? '', kind: 'acked' } as const;
        if (held[index] === true) journey.note({ ...step, facts });
        else journey.note({ ...step, ok: false, facts: { ...facts, error: leaseEnded } });
      }
      return held;
    },
    async reject(subKey, rejections) {
      const outcomes = await broker.reject(subKey, rejections);
      const subscription = nameOf(subKey);
      for (const [index, rejection] of rejections.entries()) {
        noteRejection(journey, { rejection, outcome: outcomes[index], subscription });
      }
      return outcomes;
    },
  };
}

/** What an operator does; of the message its id alone is known. */
function operating(
  broker: BrokerVerbs,
  journey: Journey,
  nameOf: (subKey: string) => string,
): Pick<BrokerVerbs, 'remove' | 'redrive'> {
  const note = (subKey: string, msgId: string, reason: string) =>
    journey.note({
      cid: '',
      kind: 'queue',
      facts: { subscription: nameOf(subKey), msgId, reason },
    });
  return {
    async remove(subKey, msgId) {
      const removed = await broker.remove(subKey, msgId);
      if (removed) note(subKey, msgId, 'deleted');
      return removed;
    },
    async redrive(subKey, options) {
      const redriven = await broker.redrive(subKey, options);
      const { msgIds = [] } = options ?? {};
      // Of some that were not dead any more nobody knows which.
      if (redriven === msgIds.length) for (const msgId of msgIds) note(subKey, msgId, 'redriven');
      return redriven;
    },
  };
}

const leaseEnded = 'the lease had ended: the message comes again';

interface Rejected {
  readonly rejection: RejectionFacts;
  readonly outcome: string | undefined;
  readonly subscription: string;
}

function noteRejection(journey: Journey, { rejection, outcome, subscription }: Rejected): void {
  const { message, reason, dead, delayMs, version, countFailure } = rejection;
  const cid = message.cid ?? '';
  const facts: StepFacts = {
    subscription,
    ...factsOf(message),
    ...(version === undefined ? {} : { version }),
  };
  if (outcome === 'dead') {
    const error = reason === undefined ? {} : { error: reason };
    const why = dead ?? 'max-deliveries';
    journey.note({ cid, kind: 'dead', ok: false, facts: { ...facts, ...error, reason: why } });
    return;
  }
  const again = outcome === 'delayed' && delayMs !== undefined ? { againInMs: delayMs } : {};
  if (countFailure === false) {
    const back = reason === undefined ? {} : { reason };
    journey.note({ cid, kind: 'queue', facts: { ...facts, ...back, ...again } });
    return;
  }
  const error = outcome === 'gone' ? leaseEnded : (reason ?? 'rejected');
  journey.note({ cid, kind: 'attempt', ok: false, facts: { ...facts, error, ...again } });
}

function factsOf({ msgId, topic }: MessageFacts): StepFacts {
  return topic === undefined ? { msgId } : { msgId, topic };
}

function errorOf(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error(String(thrown));
}

import { Fault } from '../core/fault.ts';
import type { FoundJourney, JourneyReader } from '../journey/journey-reader.ts';
import type { KeptStep } from '../journey/step.ts';
import type { QueuedMessage } from '../pubsub/message.ts';
import type { JourneyStep, JourneyView } from './message-api.ts';
import { iso, standingOf } from './message-views.ts';
import type { BrokerPort, JourneysPort } from './ports.ts';
import { QueueOwners, type QueueSources } from './queue-owners.ts';

export interface JourneyDeskOptions extends QueueSources {
  readonly broker: Pick<BrokerPort, 'find'>;
  readonly reader: Pick<JourneyReader, 'find' | 'kept'>;
}

/** Of the messages of a journey, where so many are is looked up. */
const mostMessages = 20;

/** Why something happened: what was noted of a journey, and where its messages are now. */
export class JourneyDesk implements JourneysPort {
  readonly #options: JourneyDeskOptions;
  readonly #owners: QueueOwners;

  constructor(options: JourneyDeskOptions) {
    this.#options = options;
    this.#owners = new QueueOwners(options);
  }

  async find(id: string): Promise<JourneyView> {
    const { broker, reader } = this.#options;
    const [noted, held] = await Promise.all([reader.find(id), broker.find(id)]);
    // A message tells its journey even when nothing was noted under its own id.
    const [first] = held;
    const found = noted ?? (first && ((await reader.find(first.message.cid)) ?? onlyHeld(first)));
    if (found === undefined) throw new Fault('not-found', await this.#notKept(id));
    const standings = await this.#standings(found, held);
    const { cid, steps, cut, dropped } = found;
    return { cid, steps: steps.map(stepView), standings, cut, dropped };
  }

  async #standings(
    { steps }: FoundJourney,
    held: readonly QueuedMessage[],
  ): Promise<JourneyView['standings']> {
    const known = new Set(held.map(({ message }) => message.msgId));
    const noted = new Set(steps.flatMap(({ facts }) => facts.msgId ?? []));
    const others = [...noted].filter((msgId) => !known.has(msgId)).slice(-mostMessages);
    const found = await Promise.all(others.map((msgId) => this.#options.broker.find(msgId)));
    const nameOf = this.#owners.names();
    return [...held, ...found.flat()].map((one) => {
      const { msgId, topic } = one.message;
      return { msgId, topic, ...standingOf(one, nameOf(one.subKey)) };
    });
  }

  async #notKept(id: string): Promise<string> {
    const { entries, since } = await this.#options.reader.kept();
    const last = since === undefined ? '' : `, the oldest from ${iso(since)}`;
    return `Nothing is known of ${id}: of what happened the newest ${entries} entries are kept${last}`;
  }
}

/** What the message itself tells. */
function onlyHeld({ message }: QueuedMessage): FoundJourney {
  const { cid, topic, msgId, receivedAt, publisher } = message;
  const facts = { topic, msgId, ...(publisher === undefined ? {} : { publisher }) };
  const step: KeptStep = { cid, kind: 'publish', at: receivedAt, ok: true, facts };
  return { cid, steps: [step], cut: false, dropped: 0 };
}

function stepView({ at, facts, ...step }: KeptStep): JourneyStep {
  const told = Object.entries(facts).filter(([, value]) => value !== undefined);
  return { at: iso(at), ...step, facts: Object.fromEntries(told) };
}

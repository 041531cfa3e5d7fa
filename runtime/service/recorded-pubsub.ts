import { Fault } from '../core/fault.ts';
import type { ServicePublication } from './publication.ts';
import type { PubSubPort } from './pubsub-ports.ts';

/**
 * `this.pubsub` in an author's tests.
 * @param publish records a publication, and says how many there are now
 * @param given what it does instead of nothing
 */
export function recordedPubSub(
  publish: (publication: ServicePublication) => Promise<number>,
  given: Partial<Omit<PubSubPort, 'publish'>> = {},
): PubSubPort {
  const unknown = async (): Promise<never> => {
    throw new Fault('not-found', 'No such message: give testService a `pubsub`');
  };
  return {
    // A name without a slash is as likely a payload as a service.
    knows: (target) => target.startsWith('/'),
    async publish({ endpoint: _, priority, expiration, ...publication }) {
      const count = await publish({
        ...publication,
        correlId: publication.correlId ?? publication.cid,
        ...(typeof priority === 'number' ? { priority } : {}),
        ...(typeof expiration === 'number' ? { expirationMs: expiration * 1_000 } : {}),
      });
      return `zpsm${count.toString(16).padStart(24, '0')}`;
    },
    subscribe: async () => `zpsk.rest.${'0'.repeat(24)}`,
    getMessages: async () => [],
    readMessages: async () => [],
    readMessage: unknown,
    deleteMessage: unknown,
    createTopic: async () => {},
    ...given,
  };
}

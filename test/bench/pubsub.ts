import type { Group } from './figure.ts';
import { measureRates } from './pubsub-rates.ts';

/** Publishing, delivering and storing messages, against BullMQ on the same Redis where there is a peer. */
export const pubsubGroup: Group = async (report) => {
  await measureRates(report);
};

import type { Group } from './figure.ts';
import { measureDepth } from './pubsub-depth.ts';
import { measurePush } from './pubsub-push.ts';
import { measureRates } from './pubsub-rates.ts';
import { measureSystem } from './pubsub-system.ts';

/** Publishing, delivering and storing messages, against BullMQ on the same Redis where there is a peer. */
export const pubsubGroup: Group = async (report) => {
  await measureRates(report);
  await measurePush(report);
  await measureDepth(report);
  await measureSystem(report);
};

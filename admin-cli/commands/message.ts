import type { Command } from 'commander';
import { addBrowsing } from '../messages/browse.ts';
import { addPublish } from '../messages/publish.ts';
import { addRedrive } from '../messages/redrive.ts';
import { addRemoval } from '../messages/removal.ts';
import { addTaking } from '../messages/take.ts';

export function addMessage(parent: Command): void {
  addPublish(parent);
  addTaking(parent);
  addBrowsing(parent);
  addRemoval(parent);
  addRedrive(parent);
}

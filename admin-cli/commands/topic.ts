import type { Command } from 'commander';
import { addDefinitionVerbs } from '../definition.ts';
import { ago, cell } from '../format.ts';
import type { Noun } from '../noun.ts';
import { addRename } from '../rename.ts';
import { readNumber } from '../spec.ts';

const topic: Noun = {
  type: 'topic',
  plural: 'topics',
  columns: [
    { head: 'NAME', cell: (view) => cell(view.name) },
    { head: 'STATE', cell: (view) => (view['enabled'] === false ? 'disabled' : 'enabled') },
    { head: 'DESCRIPTION', cell: (view) => cell(view['description']) },
    { head: 'PRIORITY', wide: true, right: true, cell: (view) => cell(view['priority']) },
    { head: 'EXPIRATION', wide: true, cell: (view) => cell(view['expiration']) },
    { head: 'MAX-SIZE', wide: true, cell: (view) => cell(view['maxSize']) },
    { head: 'REVISION', wide: true, right: true, cell: (view) => cell(view.revision) },
    { head: 'CHANGED', wide: true, cell: (view) => ago(view.updatedAt) },
  ],
  flags: [
    { flags: '--description <text>', about: 'what it is for', key: 'description' },
    { flags: '--max-size <size>', about: 'of one message: bytes, 64kb, 1mb', key: 'maxSize' },
    {
      flags: '--expiration <time>',
      about: 'of a message that names none: 1h, 30d',
      key: 'expiration',
    },
    {
      flags: '--priority <n>',
      about: 'of a message that names none: 0-9, 9 comes first',
      key: 'priority',
      read: readNumber,
    },
    { flags: '--enabled', about: 'let clients publish', key: 'enabled', value: true },
    { flags: '--disabled', about: 'refuse what clients publish', key: 'enabled', value: false },
  ],
  examples: {
    create: [
      'hence topic create orders.new',
      'hence topic create orders.new --description "each order, once" --expiration 7d',
    ],
    edit: [
      'hence topic edit orders.new --priority 7',
      'hence topic edit orders.new --disabled',
      'hence topic edit orders.new --set expiration=null',
    ],
  },
};

export function addTopic(parent: Command): void {
  addDefinitionVerbs(parent, topic);
  addRename(parent, topic, 'hence topic rename orders.new orders.created');
}

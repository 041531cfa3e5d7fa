import type { Command } from 'commander';
import { addDefinitionVerbs } from '../definition.ts';
import { ago, cell } from '../format.ts';
import type { Noun } from '../noun.ts';

const endpoint: Noun = {
  type: 'endpoint',
  plural: 'endpoints',
  columns: [
    { head: 'NAME', cell: (view) => cell(view.name) },
    { head: 'ROLE', cell: (view) => cell(view['role']) },
    { head: 'SECURITY', cell: (view) => cell(view['security']) },
    { head: 'PUBLISH', cell: (view) => listCell(view['publish']) },
    { head: 'SUBSCRIBE', cell: (view) => listCell(view['subscribe']) },
    { head: 'REVISION', wide: true, right: true, cell: (view) => cell(view.revision) },
    { head: 'CHANGED', wide: true, cell: (view) => ago(view.updatedAt) },
  ],
  flags: [
    {
      flags: '--role <role>',
      about: 'what it does at all; both without it',
      key: 'role',
      choices: ['pub-only', 'sub-only', 'pub-sub'],
    },
    {
      flags: '--security <name>',
      about: 'what its clients log in with: a security definition',
      key: 'security',
    },
    {
      flags: '--publish <patterns...>',
      about: 'topics it may publish to: /orders/*, /orders/**',
      key: 'publish',
      many: true,
    },
    {
      flags: '--subscribe <patterns...>',
      about: 'topics it may subscribe to',
      key: 'subscribe',
      many: true,
    },
  ],
  examples: {
    create: [
      'hence endpoint create "My REST Endpoint" --security crm --publish "/zato/demo/*"',
      'hence endpoint create billing --role sub-only --security billing --subscribe "/orders/**"',
    ],
    edit: ['hence endpoint edit "My REST Endpoint" --publish "/zato/**" "/orders/*"'],
  },
};

/** `endpoint`: the parties of Zato 3.x. */
export function addEndpoint(parent: Command): void {
  addDefinitionVerbs(parent, endpoint);
}

function listCell(value: unknown): string {
  return Array.isArray(value) && value.length > 0 ? cell(value) : '-';
}

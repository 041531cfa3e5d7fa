import { randomBytes } from 'node:crypto';
import { type Command, Option } from 'commander';
import { addDefinitionVerbs } from '../definition.ts';
import { ago, cell } from '../format.ts';
import { readSecret } from '../input.ts';
import type { Noun, SecretCall } from '../noun.ts';
import { setKey } from '../spec.ts';

const security: Noun = {
  type: 'security',
  plural: 'security definitions',
  columns: [
    { head: 'NAME', cell: (view) => view.name },
    { head: 'TYPE', cell: (view) => cell(view['type']) },
    { head: 'USERNAME', cell: (view) => cell(view['username']) },
    { head: 'REVISION', wide: true, right: true, cell: (view) => cell(view.revision) },
    { head: 'CHANGED', cell: (view) => ago(view.updatedAt) },
  ],
  flags: [
    { flags: '--type <type>', about: 'what kind (basic)', key: 'type', choices: ['basic'] },
    { flags: '--username <name>', about: 'user name', key: 'username', required: true },
  ],
  secretKeys: ['password'],
  secretFlags: () => [
    new Option('--password-stdin', 'read the password from standard input'),
    new Option('--generate', 'make a password and show it once').conflicts('passwordStdin'),
  ],
  missingSecrets: (options, change) =>
    options['passwordStdin'] || options['generate'] || change['passwordHash']
      ? []
      : ['--password-stdin or --generate'],
  readSecrets,
  examples: {
    create: [
      'hence security create partner --username partner --generate',
      'pass show partner | hence security create partner --username partner --password-stdin',
    ],
    edit: [
      'hence security edit partner --username other',
      'hence security edit partner --generate',
    ],
  },
};

const generatedBytes = 24;

async function readSecrets(call: SecretCall): Promise<string | undefined> {
  const { options, change, creating, session } = call;
  if (creating) change['type'] ??= 'basic';
  if (options['passwordStdin']) setKey(change, 'password', await readSecret('--password-stdin'));
  if (options['generate']) {
    const password = randomBytes(generatedBytes).toString('base64url');
    setKey(change, 'password', password);
    return password;
  }
  if (creating && session.interactive && change['passwordHash'] === undefined) {
    const { askSecret } = await import('../prompt.ts');
    setKey(change, 'password', await askSecret('Password (not shown): '));
  }
  return undefined;
}

export function addSecurity(parent: Command): void {
  addDefinitionVerbs(parent, security);
}

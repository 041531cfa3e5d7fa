import { Argument, type Command } from 'commander';
import type { PermissionCheck } from '../../runtime/admin/api.ts';
import { addDefinitionVerbs, examples } from '../definition.ts';
import { type ExitCode, exitCode } from '../exit-code.ts';
import { ago, cell, printable } from '../format.ts';
import type { Noun } from '../noun.ts';
import { act, type Call } from '../session.ts';

const permission: Noun = {
  type: 'permission',
  plural: 'permissions',
  columns: [
    { head: 'NAME', cell: (view) => view.name },
    { head: 'SECURITY', cell: (view) => cell(view['security']) },
    { head: 'PUBLISH', cell: (view) => listCell(view['publish']) },
    { head: 'SUBSCRIBE', cell: (view) => listCell(view['subscribe']) },
    { head: 'REVISION', wide: true, right: true, cell: (view) => cell(view.revision) },
    { head: 'CHANGED', wide: true, cell: (view) => ago(view.updatedAt) },
  ],
  flags: [
    {
      flags: '--security <name>',
      about: 'who may: a security definition',
      key: 'security',
      required: true,
    },
    {
      flags: '--publish <patterns...>',
      about: 'topics it may publish to: orders.*, orders.**',
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
  defaultName: 'security',
  examples: {
    create: [
      'hence permission create --security partner --publish orders.new --subscribe "replies.**"',
      'hence permission create partner-orders --security partner --publish orders.new "orders.*.eu"',
    ],
    edit: ['hence permission edit partner --publish "orders.**"'],
  },
};

export function addPermission(parent: Command): void {
  addDefinitionVerbs(parent, permission);
  parent
    .command('check <security>')
    .addArgument(new Argument('<operation>', 'what it wants').choices(['publish', 'subscribe']))
    .argument('<topic>')
    .description('whether it may; ends with 5 when it may not')
    .option('--why', 'the rule that matched, or why none did')
    .addHelpText('after', examples(['hence permission check partner publish orders.new --why']))
    .action(act(check));
}

async function check(
  { session, options }: Call,
  security = '',
  operation = '',
  topic = '',
): Promise<ExitCode> {
  const query = { security, operation, topic };
  const found = await session.client.get<PermissionCheck>('/api/permissions/check', { query });
  const may = found.allowed ? 'may' : 'may not';
  const sentence = `${security} ${may} ${operation} to ${found.topic}`;
  const text = options['why'] === true ? `${sentence}: ${found.why}` : sentence;
  await session.out.done(printable(text), found.allowed ? 'allowed' : 'denied', found);
  return found.allowed ? exitCode.ok : exitCode.denied;
}

/** Nothing it may: `-`. */
function listCell(value: unknown): string {
  return Array.isArray(value) && value.length === 0 ? '-' : cell(value);
}

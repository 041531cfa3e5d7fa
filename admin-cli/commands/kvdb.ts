import type { Command } from 'commander';
import { examples } from '../definition.ts';
import { type ExitCode, exitCode } from '../exit-code.ts';
import { printable } from '../format.ts';
import { readSecret } from '../input.ts';
import { act, type Call } from '../session.ts';

export function addKvdb(command: Command): void {
  command
    .argument('<command>', 'any Redis command')
    .argument('[args...]', "its arguments; after '--' none is read as a flag of hence")
    .description("run one Redis command on the services' key-value store")
    .option('-x, --stdin', 'read the last argument from standard input: for secrets')
    .allowUnknownOption()
    .addHelpText(
      'after',
      examples([
        'hence kvdb hset users.sean pushover USER_KEY',
        'pass show pushover | hence kvdb -x set app.pushover.token',
        'hence kvdb hgetall users.sean -o json',
      ]),
    )
    .action(act(kvdb));
}

async function kvdb({ session, options }: Call, ...args: string[]): Promise<ExitCode> {
  const command = options['stdin'] === true ? [...args, await readSecret('--stdin')] : args;
  const reply = await session.client.send<{ readonly result?: unknown }>('POST', '/api/kvdb', {
    json: { command },
  });
  const result = reply.result ?? null;
  await session.out.one(result, {
    name: plain(result),
    text: () => (process.stdout.isTTY ? typed(result) : plain(result)),
  });
  return exitCode.ok;
}

/** As redis-cli writes into a pipe: bare values, one per line. */
function plain(value: unknown): string {
  if (value === null || value === undefined) return '';
  if (Array.isArray(value)) return value.map(plain).join('\n');
  if (typeof value === 'object') return Object.entries(value).flat().map(plain).join('\n');
  return String(value);
}

/** As redis-cli writes to a terminal: with types and numbers of items. */
function typed(value: unknown, indent = ''): string {
  if (value === null || value === undefined) return '(nil)';
  if (typeof value === 'number') return `(integer) ${value}`;
  if (typeof value === 'string') return value === 'OK' ? value : JSON.stringify(value);
  if (typeof value !== 'object') return printable(String(value));
  const items = Array.isArray(value) ? value : Object.entries(value).flat();
  if (items.length === 0) return '(empty array)';
  const width = String(items.length).length;
  return items
    .map((item: unknown, at) => {
      const number = `${String(at + 1).padStart(width)}) `;
      return `${at === 0 ? '' : indent}${number}${typed(item, indent + ' '.repeat(number.length))}`;
    })
    .join('\n');
}

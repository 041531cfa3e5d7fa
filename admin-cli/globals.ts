import { type Command, InvalidArgumentError, Option } from 'commander';
import { readDuration } from './format.ts';
import { type Format, formats } from './output.ts';

/** The flags of every command. */
export interface GlobalFlags {
  readonly output?: Format;
  readonly json?: boolean;
  readonly limit?: number;
  readonly quiet?: boolean;
  readonly verbose?: boolean;
  readonly color?: boolean;
  readonly yes?: boolean;
  readonly timeout?: number;
  readonly input?: boolean;
  readonly url?: string;
  readonly token?: string;
}

const group = 'Global options:';

const ours = new WeakSet<Option>();

function globals(): Option[] {
  return [
    new Option('-o, --output <format>', 'how data is printed').choices(formats),
    new Option('--json', 'the same as -o json'),
    new Option('--limit <n>', 'how many items a list shows (100)').argParser(positive),
    new Option('-q, --quiet', 'no hints, no success lines'),
    new Option('-v, --verbose', 'show each request to the admin API'),
    new Option('--no-color', 'plain text (also NO_COLOR)'),
    new Option('-y, --yes', 'do not ask'),
    new Option('--timeout <time>', 'give up after: 500ms, 30s, 5m').argParser(duration),
    new Option('--no-input', 'never ask, even on a terminal'),
    new Option('--url <url>', 'the admin API (HENCE_URL)'),
    new Option('--token <token>', 'its token (HENCE_TOKEN)'),
  ];
}

/**
 * Gives a command and all below it the global flags. A command keeps a flag of its own that has the
 * same name: `channel create --timeout` is the channel's.
 */
export function addGlobals(command: Command): void {
  const leaf = command.commands.length === 0;
  for (const option of globals()) {
    if (command.options.some((own) => own.long === option.long || sharesShort(own, option)))
      continue;
    ours.add(option);
    command.addOption(option.helpGroup(group).hideHelp(!leaf && command.parent !== null));
  }
  if (!leaf) command.enablePositionalOptions();
  for (const below of command.commands) addGlobals(below);
}

/** The global flags given to a command or to one above it; the nearest wins. */
export function globalFlags(command: Command): GlobalFlags {
  const above: GlobalFlags = command.parent === null ? {} : globalFlags(command.parent);
  const given = command.options
    .filter((option) => ours.has(option))
    .map((option) => option.attributeName())
    .filter((key) => command.getOptionValueSource(key) === 'cli')
    .map((key): [string, unknown] => [key, command.getOptionValue(key)]);
  return { ...above, ...Object.fromEntries(given) };
}

function sharesShort(one: Option, other: Option): boolean {
  return one.short !== undefined && one.short === other.short;
}

/** A whole number from 1 up. */
export function positive(text: string): number {
  const value = Number(text);
  if (Number.isSafeInteger(value) && value > 0) return value;
  throw new InvalidArgumentError('It must be a whole number from 1 up.');
}

/** A length of time in ms. */
export function duration(text: string): number {
  const ms = readDuration(text);
  if (ms !== undefined) return ms;
  throw new InvalidArgumentError('Write 250ms, 5s, 10m, 2h or 1d.');
}

import { type Command, Option } from 'commander';
import type { LogLine } from '../../runtime/admin/api.ts';
import { examples } from '../definition.ts';
import { CliError } from '../errors.ts';
import { type ExitCode, exitCode } from '../exit-code.ts';
import { cell, printable } from '../format.ts';
import { paint } from '../paint.ts';
import { act, type Call } from '../session.ts';

/** `service logs [name]`, and the shortcut `logs`. */
export function addLogs(command: Command): void {
  if (command.registeredArguments.length === 0) command.argument('[name]', 'only this service');
  command
    .description('the last log lines, and with -f each new one')
    .option('-f, --follow', 'go on with each new line, until Ctrl-C')
    .addOption(
      new Option('--level <level>', 'this level and above').choices([
        'debug',
        'info',
        'warn',
        'error',
      ]),
    )
    .option('--service <name>', 'only this service')
    .option('--cid <id>', 'only this journey')
    .option('--grep <text>', 'only lines that hold this text')
    .option('--since <time>', 'only the last: 10m, 2h')
    .addHelpText(
      'after',
      examples(['hence logs -f', 'hence logs --since 10m --level warn', 'hence logs -o json | jq']),
    )
    .action(act(logs));
}

async function logs({ session, options }: Call, name?: string): Promise<ExitCode> {
  const follow = options['follow'] === true;
  const lines = session.client.lines('/api/logs', {
    query: {
      follow: follow ? 1 : undefined,
      level: text(options['level']),
      service: name ?? text(options['service']),
      cid: text(options['cid']),
      grep: text(options['grep']),
      since: text(options['since']),
      limit: session.flags.limit,
    },
    // The deadline is for a list; following has no end.
    ...(follow ? { timeoutMs: session.flags.timeout ?? 0 } : {}),
  });
  for await (const line of lines) {
    if (line.trim() === '') continue;
    session.out.data(session.out.forPeople ? pretty(line) : line);
  }
  if (!follow) return exitCode.ok;
  throw new CliError(exitCode.unreachable, `${session.client.endpoint.url} ended the log`, {
    fix: 'hence status',
  });
}

const styles = { debug: 'dim', info: 'green', warn: 'yellow', error: 'red' } as const;

/** Facts that have a place of their own in the line. */
const placed = new Set(['time', 'level', 'message']);

function pretty(line: string): string {
  let parsed: LogLine;
  try {
    parsed = JSON.parse(line) as LogLine;
  } catch {
    return printable(line);
  }
  const { time, level, message } = parsed;
  const style = styles[level] ?? 'dim';
  const below: string[] = [];
  const facts: string[] = [];
  for (const [key, value] of Object.entries(parsed)) {
    if (placed.has(key) || value === undefined) continue;
    if (typeof value === 'string' && value.includes('\n')) below.push(value);
    else facts.push(`${key}=${cell(value)}`);
  }
  const head = [clock(time), paint(style, String(level).padEnd(5)), cell(message), ...facts];
  return [head.join('  '), ...below.map(indented)].join('\n');
}

function indented(block: string): string {
  return printable(block).replace(/^/gm, '          ');
}

/** The local time of day. */
function clock(iso: string): string {
  const at = new Date(iso);
  return Number.isNaN(at.getTime()) ? cell(iso) : at.toTimeString().slice(0, 8);
}

function text(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined;
}

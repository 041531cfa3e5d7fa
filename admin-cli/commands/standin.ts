import type { Command } from 'commander';
import type { StandinMessage } from '../../runtime/admin/api.ts';
import { AdminClient } from '../client.ts';
import { examples } from '../definition.ts';
import { CliError } from '../errors.ts';
import { type ExitCode, exitCode } from '../exit-code.ts';
import { ago, cell, printable } from '../format.ts';
import { positive } from '../globals.ts';
import { json } from '../output.ts';
import { loadPushoverStandin } from '../runtime.ts';
import { act, type Call } from '../session.ts';

const defaultPort = 11_225;

export function addStandin(parent: Command): void {
  parent
    .command('pushover')
    .description('run the Pushover stand-in here: strict as the real one, shows each message')
    .option('--port <port>', 'where it listens (11225)', positive)
    .option('--host <host>', 'on which address (127.0.0.1)')
    .addHelpText(
      'after',
      examples([
        'hence standin pushover',
        'hence outgoing edit pushover --address http://127.0.0.1:11225 --mode live',
      ]),
    )
    .action(act(serve));
  parent
    .command('show <name>')
    .description('what the built-in stand-in got, newest first')
    .option('--clear', 'forget it after showing it')
    .addHelpText('after', examples(['hence standin show pushover']))
    .action(act(show));
}

async function serve({ session, options }: Call): Promise<ExitCode> {
  const PushoverStandin = await loadPushoverStandin();
  const { out } = session;
  const port = typeof options['port'] === 'number' ? options['port'] : defaultPort;
  const standin = new PushoverStandin({
    port,
    host: typeof options['host'] === 'string' ? options['host'] : '127.0.0.1',
    onMessage: (message: StandinMessage) => {
      out.data(out.forPeople ? phone(message) : json(message));
    },
  });
  const url = await standin.start().catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'EADDRINUSE') throw error;
    throw new CliError(exitCode.conflict, `Port ${port} is taken`, {
      fix: `hence standin pushover --port ${port + 1}`,
      cause: error,
    });
  });
  // Its server keeps this process going until Ctrl-C.
  out.hint(`Pushover stand-in on ${url}; Ctrl-C ends it`);
  return exitCode.ok;
}

interface Inbox {
  readonly url: string;
  readonly messages: readonly StandinMessage[];
}

async function show({ session, options }: Call, name = ''): Promise<ExitCode> {
  const path = AdminClient.path('standins', name);
  const inbox = await session.client.get<Inbox>(path);
  const messages = inbox.messages.slice(0, session.limit);
  if (session.out.format === 'ndjson') {
    for (const message of messages) session.out.data(json(message));
  } else {
    const text = (): string => messages.map(phone).join('\n') || 'no messages';
    await session.out.one({ ...inbox, messages }, { name, text });
  }
  if (options['clear'] === true) {
    await session.client.send('DELETE', path);
    session.out.hint('forgotten');
  }
  return exitCode.ok;
}

const phoneWidth = 46;

/** A message as a phone shows it, and below it the body exactly as it came. */
function phone(message: StandinMessage): string {
  const title = cell(message.title);
  const rule = '─'.repeat(phoneWidth);
  const lines = printable(message.message).split('\n').flatMap(wrapped);
  const status = message.status < 300 ? 'accepted' : 'REFUSED';
  return [
    `┌${rule}`,
    `│ ${title} · ${ago(message.at)}`,
    ...lines.map((line) => `│ ${line}`),
    `└${rule}`,
    `  ${status} ${message.status}  ${json(message.reply)}`,
    `  body  ${printable(message.body)}`,
    '',
  ].join('\n');
}

function wrapped(line: string): string[] {
  const chars = [...line];
  const lines: string[] = [];
  for (let at = 0; at < Math.max(1, chars.length); at += phoneWidth - 2) {
    lines.push(chars.slice(at, at + phoneWidth - 2).join(''));
  }
  return lines;
}

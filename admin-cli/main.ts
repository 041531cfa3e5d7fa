import { readFileSync } from 'node:fs';
import { Command, CommanderError } from 'commander';
import { CliError, errorText } from './errors.ts';
import { exitCode } from './exit-code.ts';
import { addGlobals, globalFlags } from './globals.ts';

interface Noun {
  readonly name: string;
  readonly about: string;
  /** Its module is read only when it is chosen. */
  load(command: Command): Promise<void>;
}

const nouns: readonly Noun[] = [
  {
    name: 'start',
    about: 'run the platform',
    load: async (command) => (await import('./commands/start.ts')).addStart(command),
  },
  {
    name: 'stop',
    about: 'stop it, after the calls in flight',
    load: async (command) => (await import('./commands/process.ts')).addStop(command),
  },
  {
    name: 'status',
    about: 'what runs, and whether it is ready',
    load: async (command) => (await import('./commands/process.ts')).addStatus(command),
  },
  {
    name: 'service',
    about: 'list, show, invoke, deploy, logs',
    load: async (command) => (await import('./commands/service.ts')).addService(command),
  },
  {
    name: 'channel',
    about: 'how requests come in',
    load: async (command) => (await import('./commands/channel.ts')).addChannel(command),
  },
  {
    name: 'outgoing',
    about: 'how calls go out, and ping',
    load: async (command) => (await import('./commands/outgoing.ts')).addOutgoing(command),
  },
  {
    name: 'security',
    about: 'who callers are',
    load: async (command) => (await import('./commands/security.ts')).addSecurity(command),
  },
  {
    name: 'topic',
    about: 'what is published to',
    load: async (command) => (await import('./commands/topic.ts')).addTopic(command),
  },
  {
    name: 'subscription',
    about: 'who gets messages, and how: pause, resume',
    load: async (command) => (await import('./commands/subscription.ts')).addSubscription(command),
  },
  {
    name: 'permission',
    about: 'who may publish and subscribe to what, and check',
    load: async (command) => (await import('./commands/permission.ts')).addPermission(command),
  },
  {
    name: 'endpoint',
    about: 'parties of Zato 3.x, and what they may publish and subscribe to',
    load: async (command) => (await import('./commands/endpoint.ts')).addEndpoint(command),
  },
  {
    name: 'schedule',
    about: 'services called by the clock: run now, history',
    load: async (command) => (await import('./commands/schedule.ts')).addSchedule(command),
  },
  {
    name: 'message',
    about: 'publish, get, browse, show, delete, purge, redrive',
    load: async (command) => (await import('./commands/message.ts')).addMessage(command),
  },
  {
    name: 'invocation',
    about: 'stored calls: list, retry, delete',
    load: async (command) => (await import('./commands/invocation.ts')).addInvocation(command),
  },
  {
    name: 'config',
    about: 'apply and export YAML',
    load: async (command) => (await import('./commands/config.ts')).addConfig(command),
  },
  {
    name: 'standin',
    about: 'what answers instead of the real system',
    load: async (command) => (await import('./commands/standin.ts')).addStandin(command),
  },
  {
    name: 'kvdb',
    about: "one command on the services' Redis",
    load: async (command) => (await import('./commands/kvdb.ts')).addKvdb(command),
  },
  {
    name: 'invoke',
    about: 'short for service invoke',
    load: async (command) => (await import('./commands/service.ts')).addInvoke(command),
  },
  {
    name: 'logs',
    about: 'short for service logs',
    load: async (command) => (await import('./commands/logs.ts')).addLogs(command),
  },
  {
    name: 'why',
    about: 'what happened to a request or a message',
    load: async (command) => (await import('./commands/why.ts')).addWhy(command),
  },
];

/** The platform itself, which ends in its own way on a signal and serves on without a reader. */
const platform = 'start';

const exitHelp = `
Exit codes: 0 ok · 1 failed · 2 wrong usage or input · 3 not found · 4 conflict · 5 not allowed
  6 not running · 8 partly done · 9 unhealthy · 124 timeout · 130 interrupted

Examples:
  $ hence status
  $ hence service list
  $ hence invoke pushover.send-message -d '{"user": "sean", "message": "hello"}'
  $ hence channel create notify --path /notify --service pushover.send-message`;

function makeProgram(): Command {
  const program = new Command('hence')
    .description('Something happens here, hence something happens there.')
    .usage('<noun> <verb> [name] [flags]')
    .version(version(), '-V, --version')
    .helpOption('-h, --help', 'help for a command')
    .helpCommand('help [command]', 'help for a command')
    .addHelpText('after', exitHelp)
    .configureOutput({ outputError: (text, write) => write(usageText(text)) })
    .exitOverride()
    .enablePositionalOptions();
  addGlobals(program);
  for (const noun of nouns) {
    // Created this way it inherits what the program was told above.
    program.command(noun.name).description(noun.about);
  }
  return program;
}

/** From dist/admin-cli, where the bundle lies. */
function version(): string {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
  return String((JSON.parse(text) as { version?: unknown }).version);
}

/** Commander's own messages in the form of ours. */
function usageText(text: string): string {
  return text.replace(/^error: /, 'error  ').replace(/\n\((Did you mean .*)\)/, '\nfix:   $1');
}

/** Reads the module of the noun that was chosen; the others stay as their one line of help. */
async function loadChosen(program: Command, argv: readonly string[]): Promise<string | undefined> {
  const { operands } = program.parseOptions([...argv]);
  const chosen = operands[0] === 'help' ? operands[1] : operands[0];
  const noun = nouns.find(({ name }) => name === chosen);
  const command = program.commands.find((one) => one.name() === chosen);
  if (noun === undefined || command === undefined) return undefined;
  await noun.load(command);
  return noun.name;
}

/** Ctrl-C ends at once; a reader that has seen enough (`| head`) is no failure. */
function endWithUser(): void {
  process.once('SIGINT', () => process.exit(exitCode.interrupted));
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', (error: NodeJS.ErrnoException) => {
      process.exit(error.code === 'EPIPE' ? exitCode.ok : exitCode.failed);
    });
  }
}

function report(error: unknown, verbose: boolean): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? exitCode.ok : exitCode.usage;
  if (error instanceof CliError) {
    process.stderr.write(errorText(error));
    return error.exitCode;
  }
  const trace = error instanceof Error ? error.stack : undefined;
  process.stderr.write(`error  ${verbose && trace !== undefined ? trace : String(error)}\n`);
  return exitCode.failed;
}

async function main(argv: readonly string[]): Promise<void> {
  const program = makeProgram();
  try {
    const noun = await loadChosen(program, argv);
    if (noun !== platform) endWithUser();
    for (const command of program.commands) if (command.name() === noun) addGlobals(command);
    if (argv.length === 0) program.outputHelp();
    else await program.parseAsync(argv, { from: 'user' });
  } catch (error) {
    process.exitCode = report(error, globalFlags(program).verbose === true);
  }
}

await main(process.argv.slice(2));

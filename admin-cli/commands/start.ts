import { type Command, InvalidArgumentError, Option } from 'commander';
import { examples } from '../definition.ts';
import { duration, positive } from '../globals.ts';
import { runPlatform, type StartOptions } from '../runtime.ts';
import type { Options } from '../session.ts';

const defaultPollMs = 200;
const maxPort = 65_535;

export function addStart(command: Command): void {
  command
    .description('run the platform here, in the foreground')
    .option('--port <port>', 'where channels listen (11223)', port)
    .option('--host <host>', 'on which address (127.0.0.1)')
    .option('--admin-port <port>', 'the admin API, always on this machine only (11224)', port)
    .option('--services <dir>', 'the hot-deployed services (services)')
    .option('--config <file>', 'applied when the system is empty (hence.yaml)')
    .option('--redis <url>', 'a Redis of your own (REDIS_URL); else a private one is started')
    .option('--workers <n|auto>', 'how many processes serve', workers)
    .addOption(new Option('--log-level <level>').choices(['debug', 'info', 'warn', 'error']))
    .addOption(new Option('--log-format <format>').choices(['pretty', 'json']))
    .option('--poll [time]', 'look for changes by polling, for mounts without events (200ms)', poll)
    .option('--data <dir>', 'where it keeps its own files (.hence)')
    .addHelpText(
      'after',
      examples(['hence start', 'hence start --workers auto --redis redis://10.0.0.5:6379']),
    )
    .action(async (options: Options) => {
      // All is closed by then. A folder that goes away at that moment can leave a watch of it open,
      // which would keep the process for ever (chokidar adds it after its close).
      process.exit(await runPlatform(startOptions(options)));
    });
}

/** Each flag under the platform's own name for it. */
const names = {
  port: 'port',
  host: 'host',
  adminPort: 'adminPort',
  services: 'servicesDir',
  config: 'configFile',
  redis: 'redisUrl',
  workers: 'workers',
  logLevel: 'logLevel',
  logFormat: 'logFormat',
  poll: 'pollMs',
  data: 'dataDir',
} as const satisfies Record<string, keyof StartOptions>;

function startOptions(options: Options): StartOptions {
  const given = Object.entries(names)
    .filter(([flag]) => options[flag] !== undefined)
    .map(([flag, name]) => [name, options[flag] === true ? defaultPollMs : options[flag]]);
  return Object.fromEntries(given) as StartOptions;
}

function port(text: string): number {
  const value = Number(text);
  // 0 asks the system for a free one.
  if (/^\d+$/.test(text) && value <= maxPort) return value;
  throw new InvalidArgumentError('It must be a port, 0 to 65535.');
}

function workers(text: string): number | 'auto' {
  return text === 'auto' ? 'auto' : positive(text);
}

function poll(text: string): number {
  return /^\d+$/.test(text) ? positive(text) : duration(text);
}

import { availableParallelism } from 'node:os';
import { resolve } from 'node:path';
import { parseDuration } from '../core/duration.ts';
import { Fault } from '../core/fault.ts';
import type { Level } from '../log/logger.ts';

/** What `hence start` was told; what is absent comes from the environment or is the default. */
export interface StartOptions {
  readonly port?: number;
  readonly host?: string;
  readonly adminPort?: number;
  readonly servicesDir?: string;
  readonly configFile?: string;
  readonly redisUrl?: string;
  readonly workers?: number | 'auto';
  readonly logLevel?: Level;
  readonly logFormat?: 'pretty' | 'json';
  /** Watches by polling this often, in ms, for mounts that announce no changes. */
  readonly pollMs?: number;
  readonly dataDir?: string;
}

export type Environment = Readonly<Record<string, string | undefined>>;

/** A port, and whether the next free one will do because nobody asked for this one. */
interface PortWish {
  readonly port: number;
  readonly orNext: boolean;
}

export interface Settings {
  readonly projectDir: string;
  readonly servicesDir: string;
  readonly dataDir: string;
  /** Applied to an empty system; undefined when there is no such file to look for. */
  readonly configFile: string;
  /** True when the file was named, and must be there. */
  readonly configRequired: boolean;
  readonly host: string;
  readonly port: PortWish;
  readonly adminPort: PortWish;
  readonly redisUrl: string | undefined;
  readonly workers: number;
  readonly logLevel: Level;
  readonly logFormat: 'pretty' | 'json';
  readonly pollMs: number | undefined;
  /** Whether REST clients may subscribe and unsubscribe themselves. */
  readonly restSubscribe: boolean;
  /** How long calls may finish in at a stop. */
  readonly graceMs: number;
  /** A worker that says nothing for so long is replaced. */
  readonly hangMs: number;
  /** The longest a file may take to load. */
  readonly loadMs: number;
}

export const defaults = {
  host: '127.0.0.1',
  port: 11_223,
  adminPort: 11_224,
  dataDir: '.hence',
  servicesDir: 'services',
  configFile: 'hence.yaml',
  graceMs: 20_000,
  hangMs: 5_000,
  loadMs: 5_000,
} as const;

const levels: readonly string[] = ['debug', 'info', 'warn', 'error'] satisfies Level[];

/**
 * Options first, then `HENCE_*` and `REDIS_URL`, then defaults.
 * @throws Fault `bad-request` naming the setting that makes no sense.
 */
export function settingsFrom(
  options: StartOptions,
  env: Environment,
  projectDir: string,
): Settings {
  const text = (name: string) => env[name]?.trim() || undefined;
  const configFile = options.configFile ?? text('HENCE_CONFIG');
  const pollMs = options.pollMs ?? durationOf('HENCE_POLL', text('HENCE_POLL'));
  return {
    projectDir,
    servicesDir: resolve(
      projectDir,
      options.servicesDir ?? text('HENCE_SERVICES') ?? defaults.servicesDir,
    ),
    dataDir: resolve(projectDir, options.dataDir ?? text('HENCE_DIR') ?? defaults.dataDir),
    configFile: resolve(projectDir, configFile ?? defaults.configFile),
    configRequired: configFile !== undefined,
    host: options.host ?? text('HENCE_HOST') ?? defaults.host,
    port: portOf('HENCE_PORT', options.port ?? text('HENCE_PORT'), defaults.port),
    adminPort: portOf(
      'HENCE_ADMIN_PORT',
      options.adminPort ?? text('HENCE_ADMIN_PORT'),
      defaults.adminPort,
    ),
    redisUrl: options.redisUrl ?? text('REDIS_URL'),
    workers: workersOf(options.workers ?? text('HENCE_WORKERS') ?? 'auto'),
    logLevel: oneOf(
      'HENCE_LOG_LEVEL',
      options.logLevel ?? text('HENCE_LOG_LEVEL') ?? 'info',
      levels,
    ) as Level,
    logFormat: oneOf(
      'HENCE_LOG_FORMAT',
      options.logFormat ?? text('HENCE_LOG_FORMAT') ?? 'pretty',
      ['pretty', 'json'],
    ) as 'pretty' | 'json',
    pollMs,
    restSubscribe: isOn('HENCE_REST_SUBSCRIBE', text('HENCE_REST_SUBSCRIBE')),
    graceMs: durationOf('HENCE_GRACE', text('HENCE_GRACE')) ?? defaults.graceMs,
    hangMs: durationOf('HENCE_HANG', text('HENCE_HANG')) ?? defaults.hangMs,
    loadMs: durationOf('HENCE_LOAD', text('HENCE_LOAD')) ?? defaults.loadMs,
  };
}

function isOn(name: string, given: string | undefined): boolean {
  return oneOf(name, given ?? 'on', ['on', 'off']) === 'on';
}

function portOf(name: string, given: number | string | undefined, preset: number): PortWish {
  if (given === undefined) return { port: preset, orNext: true };
  const port = Number(given);
  if (Number.isInteger(port) && port >= 0 && port <= 65_535) return { port, orNext: false };
  throw new Fault('bad-request', `${name}: "${given}" is not a port (0-65535)`);
}

function workersOf(given: number | string): number {
  if (given === 'auto') return Math.min(availableParallelism(), 4);
  const count = Number(given);
  if (Number.isInteger(count) && count >= 1 && count <= 64) return count;
  throw new Fault(
    'bad-request',
    `HENCE_WORKERS: "${given}" is not "auto" or a number from 1 to 64`,
  );
}

function oneOf(name: string, given: string, allowed: readonly string[]): string {
  if (allowed.includes(given)) return given;
  throw new Fault('bad-request', `${name}: "${given}" is not one of ${allowed.join(', ')}`);
}

function durationOf(name: string, given: string | undefined): number | undefined {
  if (given === undefined) return undefined;
  try {
    return parseDuration(/^\d+$/.test(given) ? Number(given) : given);
  } catch (error) {
    throw new Fault('bad-request', `${name}: ${Fault.from(error).message}`, { cause: error });
  }
}

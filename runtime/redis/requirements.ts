import type { Redis } from 'ioredis';
import { Fault } from '../core/fault.ts';
import { atLeast, minimumVersion } from './version.ts';

export interface ServerCheck {
  /** As the server says it; Valkey's own version when it is a Valkey. */
  readonly version: string;
  /** One sentence for each setting under which data can be lost. */
  readonly warnings: readonly string[];
}

/** Checks a Redis that somebody else runs: one that is too old or away is a Fault, a risky setting a warning. */
export async function checkServer(redis: Redis): Promise<ServerCheck> {
  // INFO, not CONFIG GET: hosted servers refuse CONFIG.
  const info = parseInfo(await redis.info().catch(unreachable));
  const version = info.get('valkey_version') ?? info.get('redis_version') ?? 'unknown';
  if (!atLeast(version, minimumVersion)) {
    throw new Fault(
      'unavailable',
      `Redis is version ${version}; at least ${minimumVersion} is needed`,
    );
  }
  return { version, warnings: warningsOf(info) };
}

function unreachable(cause: Error): never {
  throw new Fault('unavailable', `Redis does not answer: ${cause.message}`, { cause });
}

function warningsOf(info: ReadonlyMap<string, string>): readonly string[] {
  const policy = info.get('maxmemory_policy') ?? 'noeviction';
  const warnings = [
    policy !== 'noeviction' &&
      `Redis has maxmemory-policy ${policy}: it may drop data when it is full; set noeviction`,
    info.get('aof_enabled') === '0' &&
      'Redis has appendonly no: a crash loses data; set appendonly yes and appendfsync always',
    info.get('maxmemory') === '0' &&
      'Redis has no maxmemory: it may take all memory of its machine; set about 60 % of it',
  ];
  return warnings.filter((warning) => warning !== false);
}

/** The `key:value` lines of an INFO reply. */
export function parseInfo(text: string): ReadonlyMap<string, string> {
  const lines = text.split(/\r?\n/).filter((line) => line.includes(':'));
  return new Map(
    lines.map((line) => {
      const colon = line.indexOf(':');
      return [line.slice(0, colon), line.slice(colon + 1)];
    }),
  );
}

import { createHash } from 'node:crypto';
import type { Redis } from 'ioredis';

/** A Lua script, sent whole only to a Redis that does not know it yet. */
export interface Script {
  readonly lua: string;
  readonly sha: string;
}

export type ScriptArgument = string | number | Buffer;

export function script(lua: string): Script {
  return { lua, sha: createHash('sha1').update(lua).digest('hex') };
}

/** A reply of strings and numbers. */
export function run(
  redis: Redis,
  { lua, sha }: Script,
  keys: readonly string[],
  args: readonly ScriptArgument[],
): Promise<unknown> {
  return orWhole(redis.evalsha(sha, keys.length, ...keys, ...args), () =>
    redis.eval(lua, keys.length, ...keys, ...args),
  );
}

/** A reply whose strings are buffers. */
export function runBuffer(
  redis: Redis,
  { lua, sha }: Script,
  keys: readonly string[],
  args: readonly ScriptArgument[],
): Promise<unknown> {
  return orWhole(redis.callBuffer('EVALSHA', sha, keys.length, ...keys, ...args), () =>
    redis.callBuffer('EVAL', lua, keys.length, ...keys, ...args),
  );
}

async function orWhole(known: Promise<unknown>, whole: () => Promise<unknown>): Promise<unknown> {
  try {
    return await known;
  } catch (error) {
    if (!(error instanceof Error && error.message.startsWith('NOSCRIPT'))) throw error;
    return await whole();
  }
}

import type { Redis } from 'ioredis';
import { withDeadline } from '../core/deadline.ts';
import { Fault } from '../core/fault.ts';
import {
  script as makeScript,
  run,
  runBuffer,
  type Script,
  type ScriptArgument,
} from '../redis/script.ts';
import { allowOom, noWrites } from './lua/common.ts';

const deadlineMs = 3_000;

/** Runs the broker's scripts: every key has the namespace's hash tag, every call a deadline, every failure a Fault. */
export class RedisStore {
  readonly prefix: string;
  readonly redis: Redis;
  readonly #keys: readonly string[];
  /** Redis 6.2 does not know flags: there the scripts go without, and stop at maxmemory. */
  #flags = true;
  readonly #plain = new Map<Script, Script>();

  constructor(redis: Redis, namespace: string) {
    this.redis = redis;
    this.prefix = `{${namespace}}:`;
    this.#keys = [`${this.prefix}ps:seq`];
  }

  /** The script's own arguments follow the prefix. */
  async ask(script: Script, ...args: ScriptArgument[]): Promise<readonly unknown[]> {
    return asArray(
      await this.#within(script, (one) => run(this.redis, one, this.#keys, [this.prefix, ...args])),
    );
  }

  async askBuffers(script: Script, ...args: ScriptArgument[]): Promise<readonly unknown[]> {
    return asArray(
      await this.#within(script, (one) =>
        runBuffer(this.redis, one, this.#keys, [this.prefix, ...args]),
      ),
    );
  }

  async within<T>(answer: Promise<T>): Promise<T> {
    try {
      return await withDeadline(answer, deadlineMs, () => new Error('Command timed out'));
    } catch (error) {
      throw faultOf(error);
    }
  }

  async #within(script: Script, ask: (script: Script) => Promise<unknown>): Promise<unknown> {
    try {
      return await withDeadline(
        ask(this.#flags ? script : this.#without(script)),
        deadlineMs,
        () => new Error('Command timed out'),
      );
    } catch (error) {
      if (!this.#flags || !knowsNoFlags(error)) throw faultOf(error);
      this.#flags = false;
      return await this.#within(script, ask);
    }
  }

  #without(script: Script): Script {
    let plain = this.#plain.get(script);
    if (!plain) {
      const lua = script.lua.replace(allowOom, '').replace(noWrites, '');
      plain = makeScript(lua);
      this.#plain.set(script, plain);
    }
    return plain;
  }
}

function asArray(reply: unknown): readonly unknown[] {
  return Array.isArray(reply) ? reply : [reply];
}

function knowsNoFlags(error: unknown): boolean {
  return error instanceof Error && /unexpected symbol near '#'/.test(error.message);
}

/** An error that Redis answered says that nothing was done; any other leaves that open. */
function faultOf(error: unknown): Fault {
  if (Fault.is(error)) return error;
  const message = error instanceof Error ? error.message : String(error);
  const known = refusals.find(([sign]) => message.includes(sign));
  if (known) {
    return new Fault('unavailable', known[1], { cause: error, retryAfterMs: 5_000 });
  }
  if (error instanceof Error && error.name === 'ReplyError') {
    return new Fault('internal', 'Internal error', { cause: error });
  }
  return new Fault('unavailable', 'Redis did not answer; the outcome is unknown', {
    cause: error,
    details: { outcome: 'unknown' },
    retryAfterMs: 1_000,
  });
}

const refusals: readonly (readonly [string, string])[] = [
  ['OOM ', 'Redis is full: nothing more can be stored'],
  ['MISCONF', 'Redis cannot write to its disk: nothing can be stored'],
  ['READONLY', 'Redis is read-only here: another one is the primary'],
  ['LOADING', 'Redis is loading its data'],
  ['BUSY ', 'Redis is busy with a script'],
];

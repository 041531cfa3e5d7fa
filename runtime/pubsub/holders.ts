import { randomBytes } from 'node:crypto';
import type { Redis } from 'ioredis';
import { withDeadline } from '../core/deadline.ts';
import { Fault } from '../core/fault.ts';
import { run, type Script, script } from '../redis/script.ts';

export interface HoldersOptions {
  readonly redis: Redis;
  readonly namespace: string;
  /** A process that has not been heard of for so long is dead. */
  readonly deadMs: number;
}

/** Who holds a subscription, as one of the dead left it. */
export interface Left {
  readonly subKey: string;
  readonly token: string;
}

export type Standing = 'held' | 'taken over' | 'gone';

interface Check {
  readonly subKey: string;
  readonly token: string;
  readonly resolve: (standing: Standing) => void;
  readonly reject: (reason: unknown) => void;
}

const deadlineMs = 3_000;
const scanned = 500;
const ending = '-';

/** Which process reads a queue that has one reader at a time: the newest holder is the only one. */
export class Holders {
  readonly #redis: Redis;
  readonly #prefix: string;
  readonly #deadMs: number;
  readonly #owner = randomBytes(8).toString('hex');
  #checks: Check[] = [];

  constructor({ redis, namespace, deadMs }: HoldersOptions) {
    this.#redis = redis;
    this.#prefix = `{${namespace}}:`;
    this.#deadMs = deadMs;
  }

  /** From now on whoever held it before takes no more of it. Resolves with the token of this holding. */
  async hold(subKey: string): Promise<string> {
    const token = `${this.#owner}|${randomBytes(8).toString('hex')}`;
    await this.#ask(holdScript, subKey, this.#owner, token, this.#deadMs);
    return token;
  }

  /** Whether it still stands as this holder's; what is asked in one turn of the event loop is asked as one. */
  standing(subKey: string, token: string): Promise<Standing> {
    return new Promise((resolve, reject) => {
      if (this.#checks.length === 0) setImmediate(() => this.#check());
      this.#checks.push({ subKey, token, resolve, reject });
    });
  }

  /** Holds again what nobody does, as after a pause in which this process was taken for dead. */
  async holdAgain(subKey: string, token: string): Promise<boolean> {
    return (await this.#ask(holdAgainScript, subKey, this.#owner, token, this.#deadMs)) === 1;
  }

  /** Nobody holds it any more; false when another does already. */
  async release(subKey: string, token: string): Promise<boolean> {
    return (await this.#ask(changeScript, subKey, token, '', this.#deadMs)) === 1;
  }

  /** Ends the holding for good, so that `release` must follow; whoever finds it later goes on with that. */
  async end(subKey: string, token: string): Promise<boolean> {
    return (await this.#ask(changeScript, subKey, token, ending, this.#deadMs)) === 1;
  }

  /** This process lives. */
  async beat(): Promise<void> {
    await this.#ask(beatScript, this.#owner, this.#deadMs);
  }

  /** What processes held that are dead, and endings that were begun by them. */
  async *ofTheDead(): AsyncGenerator<Left> {
    const dead = (await this.#ask(deadScript)) as string[];
    if (dead.length === 0) return;
    let cursor = '0';
    do {
      const [next, flat] = await this.#within(
        this.#redis.hscan(`${this.#prefix}ps:held`, cursor, 'COUNT', scanned),
      );
      cursor = next;
      for (let at = 0; at + 1 < flat.length; at += 2) {
        const token = flat[at + 1] ?? '';
        if (dead.includes(ownerOf(token))) yield { subKey: flat[at] ?? '', token };
      }
    } while (cursor !== '0');
    await this.#ask(buriedScript, ...dead);
  }

  #check(): void {
    const checks = this.#checks;
    this.#checks = [];
    const asked = this.#redis.hmget(
      `${this.#prefix}ps:held`,
      ...checks.map(({ subKey }) => subKey),
    );
    this.#within(asked).then(
      (holders) => {
        for (const [at, { token, resolve }] of checks.entries()) {
          resolve(standingOf(holders[at] ?? undefined, token));
        }
      },
      (error: unknown) => {
        for (const { reject } of checks) reject(error);
      },
    );
  }

  #ask(what: Script, ...args: (string | number)[]): Promise<unknown> {
    const prefix = this.#prefix;
    return this.#within(run(this.#redis, what, [`${prefix}ps:held`], [prefix, ...args]));
  }

  async #within<T>(answer: Promise<T>): Promise<T> {
    try {
      return await withDeadline(answer, deadlineMs, () => new Error('Command timed out'));
    } catch (cause) {
      throw new Fault('unavailable', `Redis did not answer: ${String(cause)}`, { cause });
    }
  }
}

function ownerOf(token: string): string {
  return token.slice(0, token.indexOf('|'));
}

function standingOf(holder: string | undefined, mine: string): Standing {
  if (holder === mine) return 'held';
  return holder === undefined || holder.startsWith(`${ending}|`) ? 'gone' : 'taken over';
}

const prologue = `
local held = ARGV[1] .. 'ps:held'
local owners = held .. ':owners'
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function alive(owner, ms) redis.call('ZADD', owners, string.format('%.0f', now + ms), owner) end
`;

/** P, subKey, owner, token, ms until the owner is dead. */
const holdScript = script(`${prologue}
redis.call('HSET', held, ARGV[2], ARGV[4])
alive(ARGV[3], ARGV[5])
return 1
`);

/** As above; only where nobody holds it. */
const holdAgainScript = script(`${prologue}
alive(ARGV[3], ARGV[5])
return redis.call('HSETNX', held, ARGV[2], ARGV[4])
`);

/** P, subKey, token, "" to delete or "-" to mark as ending, ms. Returns 1 when the token holds it, or began its end. */
const changeScript = script(`${prologue}
local holder = redis.call('HGET', held, ARGV[2])
local token = string.gsub(ARGV[3], '^-|', '')
if holder ~= token and holder ~= '-|' .. token then return 0 end
if ARGV[4] == '' then
  redis.call('HDEL', held, ARGV[2])
else
  redis.call('HSET', held, ARGV[2], ARGV[4] .. '|' .. token)
  alive(ARGV[4], ARGV[5])
end
return 1
`);

/** P, owner, ms. */
const beatScript = script(`${prologue}
alive(ARGV[2], ARGV[3])
return 1
`);

const deadScript = script(`${prologue}
return redis.call('ZRANGEBYSCORE', owners, '-inf', now)
`);

/** P, owners: those that have not come back to life. */
const buriedScript = script(`${prologue}
for n = 2, #ARGV do
  local at = redis.call('ZSCORE', owners, ARGV[n])
  if at and tonumber(at) <= now then redis.call('ZREM', owners, ARGV[n]) end
end
return 1
`);

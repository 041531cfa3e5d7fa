import type { Redis } from 'ioredis';
import { Fault } from '../core/fault.ts';

/** The user's own Redis client: made at its first use, closed with its owner. */
export class Kvdb {
  readonly #connect: () => Redis;
  #conn: Redis | undefined;

  constructor(connect: () => Redis) {
    this.#connect = connect;
  }

  get conn(): Redis {
    this.#conn ??= this.#connect();
    return this.#conn;
  }

  /**
   * Runs one command as typed: `['hset', 'users.sean', 'pushover', 'KEY']`.
   * @throws Fault `bad-request` with Redis' own words when it refuses.
   */
  async run(command: readonly string[]): Promise<unknown> {
    const [name, ...args] = command;
    if (!name) throw new Fault('bad-request', 'No command given');
    try {
      return await this.conn.call(name, ...args);
    } catch (error) {
      const words = error instanceof Error ? error.message : String(error);
      const refused = error instanceof Error && error.name === 'ReplyError';
      throw new Fault(refused ? 'bad-request' : 'unavailable', `Redis: ${words}`, { cause: error });
    }
  }

  async close(): Promise<void> {
    this.#conn?.disconnect();
    this.#conn = undefined;
  }
}

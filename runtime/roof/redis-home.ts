import { join } from 'node:path';
import type { Redis } from 'ioredis';
import type { Logger } from '../log/logger.ts';
import { connectRedis } from '../redis/connection.ts';
import { checkServer } from '../redis/requirements.ts';
import { RedisServer } from '../redis/server.ts';
import { parseRedisTarget, type RedisTarget, showTarget } from '../redis/target.ts';
import { findRedisBinary } from '../redis/version.ts';
import type { Environment, Settings } from './settings.ts';

/** A frozen one must not hold up the end; what it acknowledged is on disk. */
const stopTimeoutMs = 1_000;

/** The Redis this system lives in: a private one that it supervises, or the one it was pointed at. */
export class RedisHome {
  readonly embedded: boolean;
  readonly target: RedisTarget;
  readonly #server: RedisServer | undefined;
  readonly #log: Logger;
  #command: Redis | undefined;
  #version: string | undefined;

  constructor(settings: Settings, env: Environment, log: Logger) {
    const binary = findRedisBinary(env['PATH']);
    this.#log = log;
    this.embedded = settings.redisUrl === undefined;
    this.#server = this.embedded
      ? new RedisServer({
          dir: join(settings.dataDir, 'redis'),
          log,
          stopTimeoutMs,
          ...(binary === undefined ? {} : { binary }),
        })
      : undefined;
    this.target = this.#server?.target ?? parseRedisTarget(settings.redisUrl ?? '');
  }

  /** The address without its password. */
  get shown(): string {
    return showTarget(this.target);
  }

  get version(): string | undefined {
    return this.#version;
  }

  /** For commands; fails fast. */
  get command(): Redis {
    this.#command ??= connectRedis(this.target, 'command', (error) =>
      this.#log.debug('redis connection', { error: error.message }),
    );
    return this.#command;
  }

  /** Resolves when the private one answers; somebody else's is not waited for. */
  async start(): Promise<void> {
    await this.#server?.start();
    this.#version = this.#server?.version;
  }

  /** For somebody else's: says what is risky. @throws Fault `unavailable` when it is too old or not there. */
  async check(): Promise<void> {
    if (this.embedded) return;
    const { version, warnings } = await checkServer(this.command);
    this.#version = version;
    for (const warning of warnings) this.#log.warn('redis setting', { warning });
  }

  /** Whether it answers within a second. */
  async answers(): Promise<boolean> {
    const late = new Promise<boolean>((resolve) => setTimeout(resolve, 1_000, false).unref());
    const pong = this.command.ping().then(
      () => true,
      // A Redis that cannot write refuses even PING, but it is there.
      (error: unknown) => error instanceof Error && error.message.startsWith('MISCONF'),
    );
    return await Promise.race([pong, late]);
  }

  async stop(): Promise<void> {
    this.#command?.disconnect();
    await this.#server?.stop();
  }
}

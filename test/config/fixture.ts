import { Redis } from 'ioredis';
import { z } from 'zod';
import type { DefinitionType } from '../../runtime/config/definition.ts';
import { DefinitionStore, type DefinitionStoreOptions } from '../../runtime/config/store.ts';
import { Fault } from '../../runtime/core/fault.ts';
import type { Facts, Logger } from '../../runtime/log/logger.ts';

export interface DoorSpec {
  readonly path: string;
  readonly service: string;
  readonly key: string;
  readonly limit: number;
  readonly headers: Readonly<Record<string, string>>;
}

/** A door names a key, and no two doors share a path. */
export const doorType: DefinitionType<DoorSpec> = {
  type: 'door',
  section: 'doors',
  schema: z.strictObject({
    path: z.string().startsWith('/', { error: 'must start with "/"' }),
    service: z.string(),
    key: z.string().default('none'),
    limit: z.number().int().default(10),
    headers: z.record(z.string(), z.string()).default({}),
  }),
  references: ({ key }) => (key === 'none' ? [] : [{ type: 'key', name: key }]),
  conflicts(name, { path }, others) {
    for (const [other, spec] of others) {
      if (spec.path !== path) continue;
      throw new Fault('conflict', `door ${name}: the path ${path} is taken by door ${other}`);
    }
  },
};

interface KeySpec {
  readonly secret?: string | undefined;
  readonly sealed?: string | undefined;
}

/** A key's secret is stored reversed, with a nonce, as a hash with a salt would be. */
const keyType: DefinitionType<KeySpec> = {
  type: 'key',
  section: 'keys',
  schema: z.strictObject({ secret: z.string().optional(), sealed: z.string().optional() }),
  async seal(_name, { secret, sealed }, previous) {
    if (secret === undefined) return { sealed: sealed ?? previous?.sealed };
    const turned = [...secret].reverse().join('');
    if (previous?.sealed?.endsWith(`:${turned}`)) return previous;
    return { sealed: `${Math.random()}:${turned}` };
  },
};

export const types: readonly DefinitionType[] = [doorType, keyType] as const;

export interface LogEntry {
  readonly level: string;
  readonly message: string;
  readonly facts: Facts;
}

/** A log that remembers. */
export function memoryLog(): Logger & { readonly entries: LogEntry[] } {
  const entries: LogEntry[] = [];
  const at =
    (level: string) =>
    (message: string, facts: Facts = {}) => {
      entries.push({ level, message, facts });
    };
  const log = {
    entries,
    debugging: false,
    debug: at('debug'),
    info: at('info'),
    warn: at('warn'),
    error: at('error'),
    child: () => log,
  };
  return log;
}

export function connect(path: string): Redis {
  const redis = new Redis({
    path,
    maxRetriesPerRequest: 1,
    commandTimeout: 2_000,
    retryStrategy: () => 20,
  });
  redis.on('error', () => undefined);
  return redis;
}

export interface TestStore {
  readonly store: DefinitionStore;
  readonly redis: Redis;
  readonly subscribers: Redis[];
  readonly log: ReturnType<typeof memoryLog>;
  close(): Promise<void>;
}

/** A store with a connection of its own, as one process has it. Started unless told otherwise. */
export async function openStore(
  path: string,
  options: Partial<DefinitionStoreOptions> & { readonly start?: boolean } = {},
): Promise<TestStore> {
  const redis = connect(path);
  const subscribers: Redis[] = [];
  const log = memoryLog();
  const store = new DefinitionStore({
    redis,
    subscriber: () => {
      const subscriber = connect(path);
      subscribers.push(subscriber);
      return subscriber;
    },
    types,
    log,
    pollMs: 50,
    reconcileMs: 60_000,
    ...options,
  });
  if (options.start !== false) await store.start();
  return {
    store,
    redis,
    subscribers,
    log,
    async close() {
      await store.stop();
      redis.disconnect();
    },
  };
}

/** Waits until `check` is true, or fails after `ms`. */
export async function until(check: () => boolean | Promise<boolean>, ms = 5_000): Promise<void> {
  const deadline = Date.now() + ms;
  while (!(await check())) {
    if (Date.now() > deadline) throw new Error(`Not within ${ms} ms: ${check.toString()}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** The Fault a promise is rejected with. */
export async function faultFrom(promise: Promise<unknown>): Promise<Fault> {
  try {
    await promise;
  } catch (error) {
    if (Fault.is(error)) return error;
    throw error;
  }
  throw new Error('It was not refused');
}

import { type CommonRedisOptions, Redis } from 'ioredis';
import type { RedisTarget } from './target.ts';

/**
 * What a connection is for.
 * - `command`: our own reads and writes.
 * - `user`: the client that services get; like `command`. A blocking command needs a `duplicate()` with its own timeouts.
 * - `worker`: for BullMQ, whose commands block.
 * - `subscriber`: Pub/Sub; the connection proves every few seconds that it is not half open.
 */
export type RedisRole = 'command' | 'worker' | 'subscriber' | 'user';

/** Without `replyMapping`, which the constructors type more narrowly than the options. */
type Settings = Omit<CommonRedisOptions, 'replyMapping'>;

const common: Settings = {
  keepAlive: 5_000,
  connectTimeout: 3_000,
  // A Redis that has just started reads its file: ask again soon, not after the 10 s of the default.
  maxLoadingRetryTime: 200,
  retryStrategy: (attempt) => Math.min(50 * attempt, 500) + Math.random() * 100,
  // A replica that was a primary a moment ago: nothing was done, so the command may go again.
  reconnectOnError: (error) => (error.message.startsWith('READONLY') ? 2 : false),
};

/*
 * Ends within 3 s, whatever happens.
 *
 * The offline queue stays on, so that a command right after the start, or in the moments of a reconnect, waits for the
 * connection. `commandTimeout` counts in the queue too, and the second failed attempt to connect (50-250 ms) empties
 * it with errors: the queue neither hangs nor grows.
 *
 * A command that was sent when the connection broke is not sent again: it may have been done. It fails with "Command
 * timed out", which means *unknown*.
 *
 * `socketTimeout` runs only while a reply is due (ioredis 6.0.0, Redis#setSocketTimeout): an idle connection lives on.
 */
const failFast: Settings = {
  maxRetriesPerRequest: 1,
  enableOfflineQueue: true,
  autoResendUnfulfilledCommands: false,
  commandTimeout: 3_000,
  socketTimeout: 5_000,
};

const settings: Readonly<Record<RedisRole, Settings>> = {
  command: failFast,
  user: failFast,
  // BullMQ blocks for up to 10 s in one command: 10 s here would cut healthy connections.
  worker: { maxRetriesPerRequest: null, socketTimeout: 15_000 },
  subscriber: { maxRetriesPerRequest: null, socketTimeout: 5_000 },
};

const heartbeatMs = 2_000;

/** A client that connects at once and for ever again; `onError` hears of every failed attempt. */
export function connectRedis(
  target: RedisTarget,
  role: RedisRole,
  onError: (error: Error) => void,
): Redis {
  const options: Settings = {
    ...common,
    ...settings[role],
    connectionName: `hence-${role}`,
  };
  const redis =
    'path' in target
      ? new Redis({ ...options, path: target.path })
      : new Redis(target.url, options);
  redis.on('error', onError);
  if (role === 'subscriber') beat(redis, onError);
  return redis;
}

/** Without traffic a half-open connection looks healthy: the PING makes `socketTimeout` notice. */
function beat(redis: Redis, onError: (error: Error) => void): void {
  let timer: NodeJS.Timeout | undefined;
  redis.on('ready', () => {
    clearInterval(timer);
    timer = setInterval(() => redis.ping().catch(onError), heartbeatMs);
  });
  // Not at 'end': a client told to disconnect between two connections never says that (ioredis 6.0.0).
  redis.on('close', () => clearInterval(timer));
}

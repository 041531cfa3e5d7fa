import { connectRedis } from '../../runtime/redis/connection.ts';
import { RedisServer } from '../../runtime/redis/server.ts';
import { collectingLog } from '../support/collecting-log.ts';

/** A control process in little: starts a Redis in the given folder, writes to it, and waits to be killed. */
const server = new RedisServer({ dir: process.argv[2] ?? '', log: collectingLog() });
await server.start();
const redis = connectRedis(server.target, 'command', () => undefined);
await redis.set('key', 'of the parent');
process.send?.({ pid: server.pid });

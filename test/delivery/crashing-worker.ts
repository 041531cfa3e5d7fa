import { connectRedis } from '../../runtime/redis/connection.ts';
import { delivering } from './fixture.ts';

/*
 * A worker process: delivers subscription `a` until it is killed. What it is given: the socket of Redis. The value
 * `poison` ends it, `hang` never ends, all others are appended to the list `done`.
 */
const [path = ''] = process.argv.slice(2);
const ledger = connectRedis({ path }, 'command', () => {});
const node = await delivering(path, {
  services: {
    work: async (value, { deliveries }) => {
      if (value === 'poison') process.kill(process.pid, 'SIGKILL');
      await ledger.rpush('begun', String(value));
      if (value === 'hang' && deliveries === 1) await new Promise(() => {});
      await new Promise((resolve) => setTimeout(resolve, 3));
      await ledger.rpush('done', `${value}:${deliveries}`);
    },
  },
  // Whoever published woke nobody.
  runner: { lockMs: 500, quietMs: 200 },
});
node.set('a', { maxDeliveries: 3 });

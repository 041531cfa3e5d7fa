import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { expect } from 'chai';
import type { Redis } from 'ioredis';
import { Fault } from '../../runtime/core/fault.ts';
import { connectRedis } from '../../runtime/redis/connection.ts';
import { checkServer } from '../../runtime/redis/requirements.ts';
import { startRedis, type TestRedis } from '../support/redis.ts';
import { rejection } from '../support/rejection.ts';

describe('Requirements for a Redis of somebody else', () => {
  let server: TestRedis | undefined;
  let redis: Redis | undefined;

  afterEach(async () => {
    redis?.disconnect();
    await server?.stop();
  });

  async function check(...args: string[]) {
    server = await startRedis({ args });
    redis = connectRedis({ path: server.path }, 'command', () => undefined);
    return await checkServer(redis);
  }

  it('are met by a durable one with a limit and noeviction', async () => {
    const { version, warnings } = await check('--appendonly', 'yes', '--maxmemory', '100mb');
    expect(version).to.match(/^\d+\.\d+/);
    expect(warnings).to.deep.equal([]);
  });

  it('name each setting that can lose data', async () => {
    const { warnings } = await check('--maxmemory-policy', 'allkeys-lru', '--maxmemory', '0');
    expect(warnings).to.have.length(3);
    expect(warnings.join('\n'))
      .to.contain('maxmemory-policy allkeys-lru')
      .and.to.contain('appendonly no')
      .and.to.contain('no maxmemory');
  });

  it('are not met by one that does not answer, or is too old', async () => {
    server = await startRedis();
    redis = connectRedis({ path: `${server.path}.none` }, 'command', () => undefined);
    const fault = await rejection(checkServer(redis));
    expect(fault).to.be.instanceOf(Fault).and.to.have.property('code', 'unavailable');
    expect(fault.message).to.contain('does not answer');
    const listener = await answering('redis_version:6.0.16');
    redis.disconnect();
    redis = connectRedis({ url: listener.url }, 'command', () => undefined);
    expect((await rejection(checkServer(redis))).message).to.equal(
      'Redis is version 6.0.16; at least 6.2 is needed',
    );
    redis.disconnect();
    await listener.stop();
  });
});

/** A server that answers each command with this INFO, as an old Redis would. */
async function answering(info: string): Promise<{ url: string; stop(): Promise<void> }> {
  const reply = `$${info.length}\r\n${info}\r\n`;
  const old = createServer((socket) => {
    socket.on('error', () => socket.destroy());
    // Each command is one array: its `*` begins a line.
    socket.on('data', (bytes) => {
      const commands = bytes.toString().match(/^\*/gm) ?? [];
      socket.write(reply.repeat(commands.length));
    });
  });
  old.listen(0, '127.0.0.1');
  await once(old, 'listening');
  const { port } = old.address() as AddressInfo;
  return {
    url: `redis://127.0.0.1:${port}`,
    async stop() {
      old.close();
      await once(old, 'close');
    },
  };
}

import { expect } from 'chai';
import { startRedis, type TestRedis } from '../support/redis.ts';
import { type System, startSystem } from '../support/system.ts';
import { until } from '../support/until.ts';

const services = {
  'hello.ts': `import { Service } from 'hence';
export class World extends Service { handle() { return { hello: 'world' }; } }
`,
};
const yaml = 'channels: { hello: { path: /hello, service: hello.world } }\n';

interface Ready {
  readonly status: number;
  readonly body: { readonly ready: boolean; readonly reasons: readonly string[] };
}

const ready = async (system: System): Promise<Ready> => {
  const reply = await fetch(`${system.adminUrl}/readyz`);
  return { status: reply.status, body: (await reply.json()) as Ready['body'] };
};

describe('Readiness', () => {
  let system: System;

  before(async () => {
    system = await startSystem({ services, yaml, args: ['--workers', '1'] });
  });
  after(() => system.stop());

  it('is 503 with reasons while Redis is frozen, and 200 again after', async () => {
    expect(await ready(system)).to.deep.equal({ status: 200, body: { ready: true, reasons: [] } });
    const redis = await system.redisPid();
    process.kill(redis, 'SIGSTOP');
    const frozen = await until(async () => {
      const now = await ready(system);
      return now.status === 503 ? now : undefined;
    });
    expect(frozen.body.reasons).to.include('redis does not answer');
    expect((await fetch(`${system.adminUrl}/healthz`)).status).to.equal(200);
    expect((await system.get('/hello')).status).to.equal(200);
    process.kill(redis, 'SIGCONT');
    await until(async () => (await ready(system)).status === 200);
  });
});

describe('A Redis of somebody else', () => {
  let redis: TestRedis;
  let port: number;
  const systems: System[] = [];

  const start = async (unready = false) => {
    const system = await startSystem({
      services,
      yaml,
      args: ['--workers', '1'],
      env: { REDIS_URL: `redis://127.0.0.1:${port}`, HENCE_GRACE: '2s' },
      unready,
    });
    systems.push(system);
    return system;
  };

  before(async () => {
    port = 20_000 + (process.pid % 20_000);
  });
  after(async () => {
    await Promise.all(systems.map((system) => system.stop()));
    await redis.stop();
  });

  it('may come later: until then it is up and says what it waits for', async () => {
    const system = await start(true);
    const waiting = await until(() => ready(system).catch(() => undefined));
    expect(waiting.status).to.equal(503);
    expect(waiting.body.reasons).to.include('redis does not answer');
    redis = await startRedis({ port });
    await system.ready();
    expect((await system.get('/hello')).status).to.equal(200);
  });

  it('is shared: a definition made on one is served by the other', async () => {
    const [one] = systems;
    const two = await start();
    await one?.define('channel', { name: 'shared', path: '/shared', service: 'hello.world' });
    await until(async () => (await two.get('/shared')).status === 200, 2_000);
    expect((await two.cli('status')).stdout).to.contain(`external, redis://127.0.0.1:${port}`);
  });

  it('stays when the system ends', async () => {
    for (const system of systems) expect(await system.end()).to.equal(0);
    const again = await start();
    expect((await again.get('/shared')).status).to.equal(200);
  });

  it('may never come: the system ends all the same', async () => {
    const lost = await startSystem({
      services,
      args: ['--workers', '1'],
      env: { REDIS_URL: 'redis://127.0.0.1:1' },
      unready: true,
    });
    await until(() => ready(lost).catch(() => undefined));
    const at = performance.now();
    expect(await lost.end()).to.equal(0);
    expect(performance.now() - at).to.be.below(3_000);
    await lost.stop();
  });
});

import { expect } from 'chai';
import { type System, startSystem } from '../support/system.ts';
import { until } from '../support/until.ts';

const services = {
  'later.ts': `import { Fault, Service } from 'hence';
export class Order extends Service {
  async handle() { return { id: await this.invokeAsync('later.work', this.request.input) }; }
}
export class Work extends Service {
  async handle() {
    const { name, ms = 0 } = this.request.input as { name: string; ms?: number };
    await this.kvdb.conn.rpush('begun', name);
    await new Promise((done) => setTimeout(done, Number(ms)));
    await this.kvdb.conn.rpush('done', name);
  }
}
export class Bad extends Service {
  async handle() {
    if (await this.kvdb.conn.get('mended')) return this.kvdb.conn.rpush('done', 'mended');
    throw new Fault('bad-request', 'it cannot be done');
  }
}
`,
};
const yaml = 'channels: { order: { path: /order, service: later.order } }\n';

describe('A stored call', () => {
  let system: System;

  const list = async (on: System, key: string): Promise<readonly string[]> => {
    const reply = await on.admin('POST', '/api/kvdb', { command: ['LRANGE', key, '0', '-1'] });
    return reply.status === 200 ? reply.json<{ result: string[] }>().result : [];
  };
  const order = async (on: System, input: unknown) => {
    const reply = await on.get('/order', { method: 'POST', body: JSON.stringify(input) });
    expect(reply.status).to.equal(200);
  };
  const dead = async () => {
    const { stdout } = await system.cli('invocation', 'list', '--state', 'dead', '-o', 'json');
    return JSON.parse(stdout) as { items: { id: string; service: string; reason: string }[] };
  };

  before(async () => {
    system = await startSystem({ services, yaml, args: ['--workers', '2'] });
  });
  after(() => system.stop());

  it('is run', async () => {
    await order(system, { name: 'plain' });
    await until(async () => (await list(system, 'done')).includes('plain'));
  });

  it('is run again when its worker is killed in the middle, and when the whole system is', async () => {
    const other = await startSystem({ services, yaml, args: ['--workers', '1'] });
    const begun = async (on: System, name: string) => {
      await order(on, { name, ms: 1_000 });
      await until(async () => (await list(on, 'begun')).includes(name));
    };
    await Promise.all([begun(system, 'one'), begun(other, 'all')]);
    for (const pid of await system.workerPids('serving')) process.kill(pid, 'SIGKILL');
    const pids = [...(await other.workerPids()), await other.redisPid()];
    other.signal('SIGKILL');
    for (const pid of pids) process.kill(pid, 'SIGKILL');
    await other.exited;
    const again = await startSystem({ dir: other.dir, args: ['--workers', '1'] });
    await until(async () => (await list(system, 'done')).includes('one'), 18_000);
    await until(async () => (await list(again, 'done')).includes('all'), 18_000);
    expect((await list(system, 'begun')).filter((name) => name === 'one').length).to.be.at.least(2);
    await again.stop();
  }).timeout(30_000);

  it('is dead when it cannot succeed, and is retried and deleted by hand', async () => {
    const stored = await system.cli('invoke', 'later.bad', '--async', '-o', 'json');
    const { id } = JSON.parse(stored.stdout) as { id: string };
    const [first] = (
      await until(async () => {
        const page = await dead();
        return page.items.length > 0 ? page : undefined;
      })
    ).items;
    expect(first).to.include({ id, service: 'later.bad' });
    expect(first?.reason).to.contain('it cannot be done');
    expect((await system.cli('invocation', 'delete', id, '--yes')).code).to.equal(0);
    expect((await dead()).items).to.deep.equal([]);

    const again = await system.cli('invoke', 'later.bad', '--async', '-o', 'json');
    const second = (JSON.parse(again.stdout) as { id: string }).id;
    await until(async () => (await dead()).items.length === 1);
    await system.cli('kvdb', 'set', 'mended', '1');
    expect((await system.cli('invocation', 'retry', second)).code).to.equal(0);
    await until(async () => (await list(system, 'done')).includes('mended'));
    expect((await dead()).items).to.deep.equal([]);
  });
});

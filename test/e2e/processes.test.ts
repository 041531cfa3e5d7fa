import { Agent } from 'node:http';
import { expect } from 'chai';
import { ask, startLoad } from '../support/load.ts';
import { isAlive } from '../support/process.ts';
import { type System, startSystem } from '../support/system.ts';
import { until } from '../support/until.ts';

const trouble = `import { Service } from 'hence';
export class Fine extends Service { handle() { return { pid: process.pid }; } }
export class Slow extends Service {
  async handle() { await new Promise((done) => setTimeout(done, 800)); return 'done'; }
}
export class Slower extends Service {
  async handle() { await new Promise((done) => setTimeout(done, 5_000)); }
}
export class Loop extends Service { handle() { for (;;); } }
export class Reject extends Service { handle() { Promise.reject(new Error('nobody waits')); return 1; } }
export class Late extends Service { handle() { setTimeout(() => { throw new Error('too late'); }); return 1; } }
export class Exit extends Service { handle() { process.exit(7); } }
`;
const yaml = `channels:
${['fine', 'slow', 'slower', 'loop', 'reject', 'late', 'exit'].map((name) => `  ${name}: { path: /${name}, service: trouble.${name} }`).join('\n')}
`;

const start = (workers: number, env: Record<string, string> = {}) =>
  startSystem({
    services: { 'trouble.ts': trouble },
    yaml,
    args: ['--workers', String(workers)],
    env: { HENCE_HANG: '1s', ...env },
  });

/** Two serve and one stands by, none of them one of these. */
const replaced = (system: System, gone: readonly number[], serving = 2) =>
  until(async () => {
    const { workers } = await system.status();
    const states = workers.filter(({ pid }) => !gone.includes(pid)).map(({ state }) => state);
    return (
      states.filter((state) => state === 'serving').length === serving && states.includes('standby')
    );
  });

describe('The processes', () => {
  describe('with two workers', () => {
    let system: System;

    before(async () => {
      system = await start(2);
    });
    after(() => system.stop());

    it('fail only what was in flight on a worker that is killed, and replace it within 2 s', async () => {
      const load = startLoad(`${system.url}/fine`, { connections: 6 });
      await until(() => load.sent > 100);
      const [victim = 0] = await system.workerPids('serving');
      const at = performance.now();
      process.kill(victim, 'SIGKILL');
      await until(async () => {
        const pids = await system.workerPids('serving');
        return pids.length === 2 && !pids.includes(victim);
      });
      expect(performance.now() - at).to.be.below(2_000);
      const { failed, sent } = await load.stop();
      expect(sent).to.be.greaterThan(100);
      expect(failed.length).to.be.at.most(6);
      await replaced(system, [victim]);
    });

    for (const [path, words] of [
      ['reject', 'nobody waits'],
      ['late', 'too late'],
    ] as const) {
      it(`log an error nobody caught (${path}) with its file, and replace the worker without failing a request`, async () => {
        const before = await system.workerPids();
        const load = startLoad(`${system.url}/fine`, { connections: 4 });
        expect((await system.get(`/${path}`)).status).to.equal(200);
        const line = await until(() =>
          system.lines().find(({ error }) => String(error).includes(words)),
        );
        expect(String(line['error'])).to.match(/services\/trouble\.ts:\d+:\d+/);
        const { worker } = line;
        const gone = await until(async () => {
          const { workers } = await system.status();
          return workers.every(({ id }) => id !== worker);
        });
        expect(gone).to.equal(true);
        await until(async () => (await system.workerPids('standby')).length === 1);
        const { failed } = await load.stop();
        expect(failed).to.deep.equal([]);
        expect(await system.workerPids()).not.to.deep.equal(before);
      });
    }

    it('kill a worker that a service hangs, while the other serves', async () => {
      const before = await system.workerPids('serving');
      const at = performance.now();
      const hanging = ask(`${system.url}/loop`).catch((error: unknown) => String(error));
      await new Promise((resolve) => setTimeout(resolve, 100));
      for (let count = 0; count < 20; count++) {
        expect((await ask(`${system.url}/fine`)).status).to.equal(200);
      }
      expect(performance.now() - at).to.be.below(1_000);
      expect(await hanging).to.be.a('string');
      expect(performance.now() - at).to.be.below(3_000);
      const line = await until(() =>
        system.lines().find(({ reason }) => reason === 'it stopped answering'),
      );
      expect(before).to.include(line['pid']);
      expect(line['at']).to.equal('services/trouble.ts');
      expect(system.log()).not.to.contain('Debugger');
      await replaced(system, [Number(line['pid'])]);
    });

    it('survive a service that ends its process', async () => {
      await ask(`${system.url}/exit`).catch(() => undefined);
      await until(() => system.lines().find(({ reason }) => reason === 'exit code 7'));
      expect((await system.get('/fine')).status).to.equal(200);
    });

    it('finish what is in flight at a SIGTERM and fail no request of a kept connection', async () => {
      await replaced(system, []);
      const load = startLoad(`${system.url}/fine`, { connections: 4, untilFailure: true });
      const agent = new Agent({ keepAlive: true });
      const slow = Array.from({ length: 6 }, () => ask(`${system.url}/slow`, agent));
      await until(async () => {
        const { workers } = await system.status();
        return workers.reduce((sum, { inFlight }) => sum + inFlight, 0) >= 6;
      });
      const pids = await system.workerPids();
      system.signal('SIGTERM');
      const replies = await Promise.all(slow);
      expect(replies.every(({ body }) => body === 'done')).to.equal(true);
      expect(await system.exited).to.equal(0);
      const { failed } = await load.stop();
      // A new connection is refused; one that was open never breaks under a request.
      const refused = /ECONNREFUSED|ECONNRESET of a new connection/;
      expect(failed.filter((reason) => !refused.test(reason))).to.deep.equal([]);
      expect(pids.some(isAlive)).to.equal(false);
      agent.destroy();
    });
  });

  describe('with one worker', () => {
    let system: System;

    before(async () => {
      system = await start(1, { HENCE_GRACE: '2s' });
    });
    after(() => system.stop());

    it('serve connections made while no worker lives with the next one', async () => {
      const pids = await system.workerPids();
      for (const pid of pids) process.kill(pid, 'SIGKILL');
      const replies = await Promise.all(Array.from({ length: 8 }, () => ask(`${system.url}/fine`)));
      expect(replies.map(({ status }) => status)).to.deep.equal(Array(8).fill(200));
      await replaced(system, pids, 1);
    });

    it('replace a worker frozen from outside', async () => {
      const [pid = 0] = await system.workerPids('serving');
      process.kill(pid, 'SIGSTOP');
      await replaced(system, [pid], 1);
      expect((await system.get('/fine')).status).to.equal(200);
    });

    it('are not taken for dead when all of them slept', async () => {
      const pids = await system.workerPids();
      system.signal('SIGSTOP');
      await new Promise((resolve) => setTimeout(resolve, 1_600));
      system.signal('SIGCONT');
      expect((await system.get('/fine')).status).to.equal(200);
      await new Promise((resolve) => setTimeout(resolve, 300));
      expect(await system.workerPids()).to.deep.equal(pids);
    });

    it('restart Redis when it dies, with all its data, and the command answers', async () => {
      await system.cli('kvdb', 'set', 'kept', 'yes');
      const pid = await system.redisPid();
      process.kill(pid, 'SIGKILL');
      await until(async () => {
        const now = await system.redisPid().catch(() => pid);
        return now !== pid && (await system.status()).ready;
      });
      expect((await system.cli('kvdb', 'get', 'kept')).stdout).to.contain('yes');
      expect((await system.cli('channel', 'list', '-o', 'name')).stdout).to.contain('fine');
      expect((await system.get('/fine')).status).to.equal(200);
    });

    it('end by themselves when the control process is killed, and a new start takes over', async () => {
      const pids = await system.workerPids();
      system.signal('SIGKILL');
      await system.exited;
      await until(() => !pids.some(isAlive));
      system = await startSystem({
        dir: system.dir,
        args: ['--workers', '1'],
        env: { HENCE_GRACE: '2s' },
      });
      expect((await system.get('/fine')).status).to.equal(200);
    });

    it('stop at once at a second signal', async () => {
      const slow = ask(`${system.url}/slower`).catch(() => undefined);
      await until(async () => (await system.status()).workers.some(({ inFlight }) => inFlight > 0));
      const pids = await system.workerPids();
      const at = performance.now();
      system.signal('SIGINT');
      await new Promise((resolve) => setTimeout(resolve, 350));
      system.signal('SIGINT');
      expect(await system.exited).to.equal(130);
      expect(performance.now() - at).to.be.below(2_000);
      await slow;
      expect(pids.some(isAlive)).to.equal(false);
    });

    it('end within the grace and 2 s although Redis is frozen', async () => {
      system = await startSystem({
        dir: system.dir,
        args: ['--workers', '1'],
        env: { HENCE_GRACE: '1s' },
      });
      const redis = await system.redisPid();
      process.kill(redis, 'SIGSTOP');
      const at = performance.now();
      expect(await system.end()).to.equal(0);
      expect(performance.now() - at).to.be.below(3_000);
      expect(isAlive(redis)).to.equal(false);
    });
  });
});

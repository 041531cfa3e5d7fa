import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { expect } from 'chai';
import { isAlive } from '../support/process.ts';
import { root } from '../support/root.ts';
import { makeProject, plainEnv, runCli, type System, startSystem } from '../support/system.ts';
import { until } from '../support/until.ts';

const hello = `import { Service } from 'hence';
export class World extends Service { handle() { return { hello: 'world' }; } }
`;
const yaml = `channels:
  hello:
    path: /hello
    service: hello.world
`;

describe('hence start', () => {
  describe('with a good project', () => {
    let system: System;

    before(async () => {
      system = await startSystem({
        services: { 'hello.ts': hello },
        yaml,
        args: ['--workers', '1'],
      });
    });
    after(() => system.stop());

    it('serves what the services folder and the configuration file say', async () => {
      const reply = await system.get('/hello');
      expect([reply.status, await reply.text()]).to.deep.equal([200, '{"hello":"world"}']);
    });

    it('refuses a second start on the same data folder, and says who has it', async () => {
      const second = await runCli(['start', '--port', '0', '--admin-port', '0'], {
        cwd: system.dir,
      });
      expect(second.code).to.equal(4);
      expect(second.stderr).to.match(/Another hence \(pid \d+\) already runs/);
      expect((await system.get('/hello')).status).to.equal(200);
      expect((await system.cli('status')).code).to.equal(0);
    });

    it('ends with 4 and a sentence when the port it was given is taken', async () => {
      const dir = await makeProject();
      const { port } = new URL(system.url);
      const { code, stderr } = await runCli(['start', '--port', port, '--admin-port', '0'], {
        cwd: dir,
      });
      expect(code).to.equal(4);
      expect(stderr).to.contain(`Port ${port} is taken on 127.0.0.1`);
      await rm(dir, { recursive: true });
    });

    it('applies the configuration file to an empty system only', async () => {
      await system.cli('channel', 'edit', 'hello', '--path', '/edited');
      expect(await system.end()).to.equal(0);
      const again = await startSystem({ dir: system.dir, args: ['--workers', '1'] });
      system = again;
      expect((await again.get('/hello')).status).to.equal(404);
      expect((await again.get('/edited')).status).to.equal(200);
    });
  });

  describe('with the default port taken', () => {
    let taken: Server | undefined;
    let dir: string;

    before(async () => {
      dir = await makeProject({ services: { 'hello.ts': hello }, yaml });
      const server = createServer();
      server.on('error', () => {
        // Somebody else has it: taken all the same.
      });
      server.listen(11_223, '127.0.0.1');
      taken = await Promise.race([
        once(server, 'listening').then(() => server),
        once(server, 'error').then(() => undefined),
      ]).catch(() => undefined);
    });
    after(async () => {
      taken?.close();
      await rm(dir, { recursive: true, force: true });
    });

    it('takes the next free one, which is not the admin’s, and says so', async () => {
      const child = spawn(
        process.execPath,
        [join(root, 'admin-cli', 'hence.mjs'), 'start', '--workers', '1'],
        { cwd: dir, env: plainEnv() },
      );
      let out = '';
      child.stdout.on('data', (bytes) => {
        out += String(bytes);
      });
      await until(() => out.includes('next   npx hence status'), 15_000);
      expect(out).to.contain('port 11223 is taken: using the next free one');
      const [, url = ''] = /channels {3}(http:\S+)/.exec(out) ?? [];
      expect(Number(new URL(url).port)).to.be.within(11_224, 11_223 + 50);
      expect((await fetch(`${url}/hello`)).status).to.equal(200);
      child.kill('SIGTERM');
      expect(await once(child, 'exit')).to.deep.equal([0, null]);
    });
  });

  describe('with what makes no sense', () => {
    let dir: string;

    before(async () => {
      dir = await makeProject();
    });
    after(() => rm(dir, { recursive: true }));

    const start = (args: readonly string[], env: Record<string, string> = {}) =>
      runCli(['start', '--port', '0', '--admin-port', '0', ...args], {
        cwd: dir,
        env: plainEnv(env),
      });

    for (const [what, args, env, words] of [
      ['a port that is none', ['--workers', '0'], {}, 'workers'],
      ['an unknown flag', ['--nonsense'], {}, '--nonsense'],
      ['a wrong duration', [], { HENCE_GRACE: 'soon' }, 'HENCE_GRACE'],
      ['a wrong number of workers', [], { HENCE_WORKERS: 'many' }, 'HENCE_WORKERS'],
      ['a data folder that cannot be made', ['--data', '/dev/null/x'], {}, '/dev/null/x'],
      ['a wrong log level', [], { HENCE_LOG_LEVEL: 'loud' }, 'HENCE_LOG_LEVEL'],
    ] as const) {
      it(`ends with 2 for ${what}, and names it`, async () => {
        const { code, stderr } = await start(args, env);
        expect(code).to.equal(2);
        expect(stderr).to.contain(words);
      });
    }

    it('ends with 1 for a broken configuration file, and says where it is broken', async () => {
      await writeFile(join(dir, 'hence.yaml'), `${yaml}    methud: GET\n`);
      const { code, stderr } = await start(['--workers', '1']);
      expect(code).to.equal(1);
      expect(stderr).to.match(/hence\.yaml:5:5\b.*methud/s);
    });

    it('ends with an error for a configuration file that was named and is not there', async () => {
      const { code, stderr } = await start(['--workers', '1', '--config', 'other.yaml']);
      expect(code).to.equal(1);
      expect(stderr).to.contain('other.yaml');
    });
  });

  describe('with broken services among good ones', () => {
    let system: System;

    before(async () => {
      const body = 'extends Service { handle() { return 1; } }';
      system = await startSystem({
        services: {
          'hello.ts': hello,
          'a-broken.ts': `import { Service } from 'hence';\nexport class A ${body} }}\n`,
          'b-import.ts': `import { gone } from './gone.ts';\nexport const b = gone;\n`,
          'c-loop.ts': `import { Service } from 'hence';\nwhile (true);\nexport class C ${body}\n`,
          'd-exit.ts': `import { Service } from 'hence';\nprocess.exit(3);\nexport class D ${body}\n`,
          'e-abort.ts': `import { Service } from 'hence';\nprocess.abort();\nexport class E ${body}\n`,
          'd-kill.ts': `import { Service } from 'hence';\nprocess.kill(process.pid, 'SIGABRT');\nexport class D ${body}\n`,
          'f-good.ts': `import { Service } from 'hence';\nexport class F ${body}\n`,
        },
        yaml,
        args: ['--workers', '1'],
        env: { HENCE_LOAD: '1s' },
      });
    });
    after(() => system.stop());

    it('serves the good ones', async () => {
      expect(await (await system.get('/hello')).text()).to.equal('{"hello":"world"}');
      const names = (await system.services()).map((service) => service.name);
      expect(names).to.deep.equal(['f-good.f', 'hello.world']);
    });

    it('lists each failure with its place in the status', async () => {
      const { failures, services } = await system.status();
      const kinds = Object.fromEntries(failures.map(({ file, kind }) => [file, kind]));
      expect(kinds).to.deep.equal({
        'services/a-broken.ts': 'compile',
        'services/b-import.ts': 'import',
        'services/c-loop.ts': 'timeout',
        'services/d-exit.ts': 'exit',
        'services/d-kill.ts': 'exit',
        'services/e-abort.ts': 'exit',
      });
      expect(services).to.deep.equal({ deployed: 2, failed: 6 });
      const broken = failures.find(({ file }) => file === 'services/a-broken.ts');
      expect([broken?.line, broken?.column]).to.deep.equal([2, 59]);
      expect(broken?.frame).to.contain('> 2 | export class A');
      const { stdout } = await system.cli('status');
      expect(stdout).to.contain('services/a-broken.ts:2:59');
      expect(stdout).to.contain('> 2 | export class A');
      for (const [file, column, code] of [
        ['services/c-loop.ts', 1, 'while (true);'],
        ['services/d-exit.ts', 9, 'process.exit(3);'],
        ['services/e-abort.ts', 9, 'process.abort();'],
      ] as const) {
        const failure = failures.find((candidate) => candidate.file === file);
        expect([failure?.line, failure?.column]).to.deep.equal([2, column]);
        expect(failure?.frame).to.contain(`> 2 | ${code}`);
        expect(stdout).to.contain(`${file}:2:${column}`).and.contain(`> 2 | ${code}`);
      }
      expect(stdout).to.contain('services/d-kill.ts  It ended its process while loading');
      const listed = await system.cli('service', 'list');
      expect(listed.stdout).to.not.contain('broken');
      expect(listed.stderr).to.contain('services/a-broken.ts:2:59');
    });

    it('logs each failure with its file', () => {
      const failed = system.lines().filter(({ message }) => message === 'deploy failed');
      expect(failed.map(({ file }) => file)).to.have.members([
        'services/a-broken.ts',
        'services/b-import.ts',
        'services/c-loop.ts',
        'services/d-exit.ts',
        'services/d-kill.ts',
        'services/e-abort.ts',
      ]);
      for (const file of ['services/c-loop.ts', 'services/d-exit.ts', 'services/e-abort.ts']) {
        const line = failed.find((candidate) => candidate['file'] === file);
        expect(line?.['line']).to.equal(2);
        expect(line?.['column']).to.be.a('number');
        expect(line?.['frame']).to.contain('> 2 |');
      }
      expect(failed.every(({ reason }) => typeof reason === 'string' && reason !== '')).to.equal(
        true,
      );
    });

    it('does not try again at the next start what ended or hung a process, until it changes', async () => {
      expect(await system.end()).to.equal(0);
      system = await startSystem({ dir: system.dir, args: ['--workers', '1'] });
      const { failures } = await system.status();
      const held = failures.filter(({ kind }) => kind === 'quarantined').map(({ file }) => file);
      expect(held.sort()).to.deep.equal(['services/c-loop.ts', 'services/d-kill.ts']);
      await system.save('d-exit.ts', hello);
      await until(() => system.service('d-exit.world'));
    });
  });

  describe('when it is stopped while it starts', () => {
    it('ends with 0 and leaves no process', async () => {
      for (const moment of ['redis.pid', 'admin.json']) {
        const system = await startSystem({ services: { 'hello.ts': hello }, unready: true });
        const file = moment === 'redis.pid' ? join('redis', moment) : moment;
        await until(() => readFile(join(system.dir, '.hence', file)).catch(() => undefined));
        system.signal('SIGTERM');
        expect(await system.exited).to.equal(0);
        expect(system.log()).not.to.contain('✖');
        const pid = Number(
          await readFile(join(system.dir, '.hence', 'redis', 'redis.pid'), 'utf8').catch(() => '0'),
        );
        expect(pid > 0 && isAlive(pid)).to.equal(false);
        await system.stop();
      }
    });
  });
});

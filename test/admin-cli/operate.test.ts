import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import type { Status } from '../../runtime/admin/api.ts';
import { AdminStandin } from './support/admin-standin.ts';
import { inFolder, type Outcome, type RunOptions, runHence } from './support/hence.ts';

describe('Operating by the hence command', () => {
  let admin: AdminStandin;
  let env: Record<string, string>;

  beforeEach(async () => {
    admin = new AdminStandin();
    env = { HENCE_URL: await admin.start(), HENCE_TOKEN: admin.token };
  });
  afterEach(() => admin.stop());

  const hence = (args: readonly string[], options: RunOptions = {}): Promise<Outcome> =>
    runHence(args, { env, ...options });

  it('shows the status on one screen', async () => {
    const { code, stdout } = await hence(['status']);
    expect(code).to.equal(0);
    expect(stdout).to.match(/^hence 0\.1\.0 · Node 20\.20\.2 · pid \d+ · up 3 min · ready\n/);
    expect(stdout).to.contain('up 7.0.15, its own, unix:.hence/redis.sock');
    expect(stdout).to.match(/^services +2 deployed, 1 FAILED$/m);
    expect(stdout).to.match(/^1 +4711 +serving +3 min +1,204 +1 +66\.8 MB +2 ms$/m);
    expect(stdout.trimEnd().split('\n').length).to.be.at.most(24);
  });

  it('ends with 9 and says why when it is not ready', async () => {
    admin.ready = false;
    const { code, stdout } = await hence(['status']);
    expect(code).to.equal(9);
    expect(stdout).to.contain('NOT READY').and.to.contain('not ready: redis is down');
    const json = await hence(['status', '--json']);
    expect(json.code).to.equal(9);
    expect((JSON.parse(json.stdout) as Status).ready).to.equal(false);
  });

  it('stops, and waits until the process is gone', async () => {
    const running = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)']);
    await once(running, 'spawn');
    const gone = once(running, 'exit');
    let ended = false;
    running.once('exit', () => {
      ended = true;
    });
    admin.onStop = () => setTimeout(() => running.kill(), 300);
    await inFolder(async (cwd) => {
      await mkdir(join(cwd, '.hence'));
      const { url, token } = admin;
      const text = JSON.stringify({ url, token, pid: running.pid });
      await writeFile(join(cwd, '.hence', 'admin.json'), text);
      const { code, stdout } = await runHence(['stop'], { cwd });
      expect({ code, stdout, ended }).to.deep.equal({ code: 0, stdout: 'stopped\n', ended: true });
    });
    await gone;
  });

  it('gives up waiting with 124, and names the process', async () => {
    await inFolder(async (cwd) => {
      await mkdir(join(cwd, '.hence'));
      const { url, token } = admin;
      const text = JSON.stringify({ url, token, pid: process.pid });
      await writeFile(join(cwd, '.hence', 'admin.json'), text);
      const { code, stderr } = await runHence(['stop', '--timeout', '200ms'], { cwd });
      expect(code).to.equal(124);
      expect(stderr).to.contain('still stopping after 200 ms').and.to.contain(`${process.pid}`);
    });
  });

  it('waits for another machine until its address answers no more', async () => {
    admin.onStop = () => {
      setTimeout(() => void admin.stop(), 200);
    };
    expect(await hence(['stop'])).to.deep.equal({ code: 0, stdout: 'stopped\n', stderr: '' });
  });

  it('applies a configuration and tells what changed', async () => {
    await inFolder(async (cwd) => {
      await writeFile(join(cwd, 'hence.yaml'), 'channels: []\n');
      const { code, stdout } = await hence(['config', 'apply', 'hence.yaml'], { cwd });
      expect(code).to.equal(0);
      expect(stdout).to.equal(
        [
          '+  channel   notify',
          '~  outgoing  pushover',
          '1 created, 1 changed, 1 unchanged, revision 12',
          '',
        ].join('\n'),
      );
      expect(JSON.parse(admin.last.body)).to.deep.equal({
        file: 'hence.yaml',
        text: 'channels: []\n',
      });
      expect(admin.last.query).to.deep.equal({});
      const dry = await hence(['config', 'apply', 'hence.yaml', '--dry-run'], { cwd });
      expect(admin.last.query).to.deep.equal({ 'dry-run': '1' });
      expect(dry.stdout).to.contain('dry run, nothing changed');
    });
  });

  it('shows every problem of a refused configuration with its place', async () => {
    const { code, stdout, stderr } = await hence(['config', 'apply', '-'], { input: 'broken: 1' });
    expect({ code, stdout }).to.deep.equal({ code: 2, stdout: '' });
    expect(stderr).to.equal(
      [
        'error  stdin has 2 problems',
        '  stdin:3:5  no such key: pth',
        '  stdin:9:1  no such security definition: partner',
        '',
      ].join('\n'),
    );
    expect((await hence(['config', 'apply', 'nope.yaml'])).code).to.equal(2);
  });

  it('exports the configuration to stdout, to a file, and as JSON', async () => {
    const yaml = 'channels:\n  - name: notify\n    path: /notify\n';
    expect((await hence(['config', 'export'])).stdout).to.equal(yaml);
    await inFolder(async (cwd) => {
      const { stdout } = await hence(['config', 'export', '--out', 'all.yaml'], { cwd });
      expect(stdout).to.equal('written to all.yaml\n');
      expect(await readFile(join(cwd, 'all.yaml'), 'utf8')).to.equal(yaml);
      const refused = await hence(['config', 'export', '--out', 'no/such/all.yaml'], { cwd });
      expect(refused.code).to.equal(1);
    });
    const json = await hence(['config', 'export', '-o', 'json']);
    expect(JSON.parse(json.stdout)).to.deep.equal({
      channels: [{ name: 'notify', path: '/notify' }],
    });
  });

  it('runs Redis commands, and prints into a pipe as redis-cli does', async () => {
    const run = async (...args: string[]): Promise<string> =>
      (await hence(['kvdb', ...args])).stdout;
    expect(await run('hset', 'users.sean', 'pushover', 'KEY')).to.equal('1\n');
    expect(JSON.parse(admin.last.body)).to.deep.equal({
      command: ['hset', 'users.sean', 'pushover', 'KEY'],
    });
    expect(await run('get', 'nothing')).to.equal('\n');
    expect(await run('lrange', 'k', '0', '-1')).to.equal('a\nb "c"\n');
    expect(JSON.parse(admin.last.body)).to.deep.equal({ command: ['lrange', 'k', '0', '-1'] });
    expect(await run('hgetall', 'users.sean')).to.equal('pushover\nKEY\n');
    expect(JSON.parse(await run('hgetall', 'users.sean', '-o', 'json'))).to.deep.equal({
      pushover: 'KEY',
    });
    expect(await run('get', 'nothing', '--json')).to.equal('null\n');
    await run('set', 'k', '--', '--json');
    expect(JSON.parse(admin.last.body)).to.deep.equal({ command: ['set', 'k', '--json'] });
    await run('set', 'k', '--unknown', '-5');
    expect(JSON.parse(admin.last.body)).to.deep.equal({ command: ['set', 'k', '--unknown', '-5'] });
    const refused = await hence(['kvdb', 'nonsense']);
    expect(refused.code).to.equal(2);
    expect(refused.stderr).to.contain('ERR unknown command');
  });

  it('takes the last argument of a Redis command from standard input', async () => {
    const args = ['kvdb', '-x', 'set', 'app.pushover.token', '-v'];
    const { stdout, stderr } = await hence(args, { input: 'secret-token\n' });
    expect(JSON.parse(admin.last.body)).to.deep.equal({
      command: ['set', 'app.pushover.token', 'secret-token'],
    });
    expect(stdout).to.equal('OK\n');
    expect(stderr).not.to.contain('secret-token');
  });

  it("shows the stand-in's messages as a phone would, with the exact body", async () => {
    const { code, stdout } = await hence(['standin', 'show', 'pushover']);
    expect(code).to.equal(0);
    expect(stdout).to.contain('│ Test message · just now').and.to.contain('│ hello[31m there\n');
    expect(stdout).to.contain('accepted 200  {"status":1,"request":"standin-01"}');
    expect(stdout).to.contain('body  token=t&user=u&title=Test+message&message=hello');
    expect(admin.standinCleared).to.equal(false);
    const cleared = await hence(['standin', 'show', 'pushover', '--clear', '-o', 'json']);
    expect((JSON.parse(cleared.stdout) as { messages: unknown[] }).messages).to.have.length(1);
    expect(admin.standinCleared).to.equal(true);
  });

  it('lists, retries and deletes stored calls', async () => {
    const { stdout } = await hence(['invocation', 'list', '--state', 'dead']);
    expect(stdout).to.match(
      /^dead-1 +orders\.import +dead +4 +just now +Outgoing crm: no answer$/m,
    );
    expect(admin.last.query['state']).to.equal('dead');
    const retry = await hence(['invocation', 'retry', 'dead-1', 'dead-2']);
    expect({ code: retry.code, stdout: retry.stdout }).to.deep.equal({
      code: 0,
      stdout: 'invocation dead-1 queued again\ninvocation dead-2 queued again\n',
    });
    const partly = await hence(['invocation', 'retry', 'dead-1', 'nope']);
    expect(partly.code).to.equal(8);
    expect(partly.stderr).to.contain('No such invocation: nope');
    expect((await hence(['invocation', 'retry', 'nope'])).code).to.equal(3);
    expect((await hence(['invocation', 'delete', 'dead-1'])).code).to.equal(2);
    expect((await hence(['invocation', 'delete', 'dead-1', '--yes'])).code).to.equal(0);
    expect([...admin.invocations]).to.deep.equal(['dead-2']);
  });
});

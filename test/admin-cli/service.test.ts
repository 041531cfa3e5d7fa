import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import type { InvokeReply, ServiceView } from '../../runtime/admin/api.ts';
import { AdminStandin } from './support/admin-standin.ts';
import { inFolder, type Outcome, type RunOptions, runHence } from './support/hence.ts';

describe('Services by the hence command', () => {
  const admin = new AdminStandin();
  let env: Record<string, string>;

  before(async () => {
    env = { HENCE_URL: await admin.start(), HENCE_TOKEN: admin.token };
  });
  after(() => admin.stop());

  const hence = (args: readonly string[], options: RunOptions = {}): Promise<Outcome> =>
    runHence(args, { env, ...options });

  it('lists them with their state in words and the time of deploy relative', async () => {
    const { code, stdout } = await hence(['service', 'list']);
    expect(code).to.equal(0);
    expect(stdout.split('\n').slice(0, 4)).to.deep.equal([
      'NAME                   VERSION  STATE   CALLS  ERRORS  IN FLIGHT  DEPLOYED',
      'demo.log               v2       ok      1,204       3          0  2 min ago',
      'orders.import          v2       ok      1,204       3          0  2 min ago',
      'pushover.send-message  v2       FAILED  1,204       3          0  2 min ago',
    ]);
  });

  it('shows why the newest file does not serve: place, message and code frame', async () => {
    const { code, stdout } = await hence(['service', 'show', 'pushover.send-message']);
    expect(code).to.equal(0);
    expect(stdout)
      .to.match(/^state +FAILED$/m)
      .and.to.match(/^channels +notify$/m);
    expect(stdout).to.match(/^input\.required +user, message$/m);
    expect(stdout).to.contain('v2  3be1aa00ff11');
    expect(stdout).to.contain('services/pushover.ts:14:22  Expected ";" but found "subject"');
    expect(stdout).to.contain('        > 14 │     const title = input subject'.slice(4));
  });

  it('shows one as the admin API has it, in JSON', async () => {
    const { stdout } = await hence(['service', 'show', 'demo.log', '-o', 'json']);
    const view = JSON.parse(stdout) as ServiceView;
    expect(view.deployedAt).to.match(/^\d{4}-\d\d-\d\dT/);
    expect(view.version).to.equal(2);
  });

  it('invokes: the payload to stdout, cid and time to stderr', async () => {
    const { code, stdout, stderr } = await hence(['invoke', 'a.b', '-d', '{"user":"sean"}']);
    expect(code).to.equal(0);
    expect(stdout).to.equal('{\n  "user": "sean"\n}\n');
    expect(stderr).to.equal('cid 0f7a41c2 · a.b v1 · 6.1 ms\n');
  });

  it('takes the input from a file, from standard input, or not at all', async () => {
    await inFolder(async (cwd) => {
      await writeFile(join(cwd, 'in.json'), '{"n": 1}');
      const file = await hence(['service', 'invoke', 'a.b', '-d', '@in.json'], { cwd });
      expect(JSON.parse(file.stdout)).to.deep.equal({ n: 1 });
    });
    const piped = await hence(['invoke', 'a.b', '-d', '-'], { input: '[1, 2]\n' });
    expect(JSON.parse(piped.stdout)).to.deep.equal([1, 2]);
    const negative = await hence(['invoke', 'a.b', '-d', '-5']);
    expect(negative.stdout).to.equal('-5\n');
    const none = await hence(['invoke', 'a.b']);
    expect(none.stdout).to.equal('null\n');
    expect(JSON.parse(admin.last.body)).to.deep.equal({});
  });

  it('passes on the time limit, the cid and the wish not to wait', async () => {
    const { stdout } = await hence([
      ...['invoke', 'a.b', '-d', '1', '--timeout', '90s', '--cid', 'my-cid', '--async'],
    ]);
    expect(JSON.parse(admin.last.body)).to.deep.equal({
      input: 1,
      async: true,
      timeoutMs: 90_000,
      cid: 'my-cid',
    });
    expect(stdout).to.equal('stored as job-1\n');
    const id = await hence(['invoke', 'a.b', '--async', '-o', 'name', '-q']);
    expect(id).to.deep.equal({ code: 0, stdout: 'job-1\n', stderr: '' });
  });

  it('gives the whole reply in JSON', async () => {
    const { stdout } = await hence(['invoke', 'a.b', '-d', '"x"', '-o', 'json']);
    const reply = JSON.parse(stdout) as InvokeReply;
    expect(reply).to.deep.include({ service: 'a.b', version: 1, payload: 'x' });
  });

  for (const data of ['{broken', '@missing.json', '']) {
    it(`refuses the input "${data}" before it is sent`, async () => {
      const before = admin.seen.length;
      const { code, stdout, stderr } = await hence(['invoke', 'a.b', '-d', data]);
      expect({ code, stdout }).to.deep.equal({ code: 2, stdout: '' });
      expect(stderr).to.match(/^error {2}/);
      expect(admin.seen).to.have.length(before);
    });
  }

  it('deploys a file as it is, and tells the version', async () => {
    await inFolder(async (cwd) => {
      const source = 'export const text = "čau";\r\n';
      await writeFile(join(cwd, 'a.ts'), source);
      const { code, stdout } = await hence(['service', 'deploy', 'a.ts'], { cwd });
      expect({ code, stdout }).to.deep.equal({
        code: 0,
        stdout: 'a.hello v3 deployed   84 ms   3be1aa00ff11\n',
      });
      expect(admin.last.path).to.equal('/api/files/a.ts');
      expect(admin.last.body).to.equal(source);
      expect(admin.last.query).to.deep.equal({});
      await hence(['service', 'deploy', '--check', 'a.ts'], { cwd });
      expect(admin.last.query).to.deep.equal({ check: '1' });
    });
  });

  it('ends with 1 and shows the code frame when a file fails, with 8 when others did not', async () => {
    await inFolder(async (cwd) => {
      await writeFile(join(cwd, 'good.ts'), 'export {};');
      await writeFile(join(cwd, 'bad.ts'), 'const title = input subject"');
      const bad = await hence(['service', 'deploy', 'bad.ts'], { cwd });
      expect({ code: bad.code, stdout: bad.stdout }).to.deep.equal({ code: 1, stdout: '' });
      expect(bad.stderr).to.contain('error  services/bad.ts:14:22  Expected ";"');
      expect(bad.stderr).to.contain('> 14 │').and.to.contain('still serves');
      const both = await hence(['service', 'deploy', 'good.ts', 'bad.ts'], { cwd });
      expect(both.code).to.equal(8);
      expect(both.stdout).to.contain('a.hello v3 deployed');
      const before = admin.seen.length;
      const missing = await hence(['service', 'deploy', 'good.ts', 'nope.ts'], { cwd });
      expect(missing.code).to.equal(2);
      expect(missing.stderr).to.contain('Cannot read nope.ts: no such file');
      expect(admin.seen).to.have.length(before);
      const json = await hence(['service', 'deploy', 'bad.ts', '-o', 'json'], { cwd });
      expect(json.code).to.equal(1);
      expect((JSON.parse(json.stdout) as { failures: unknown[] }).failures).to.have.length(1);
    });
  });
});

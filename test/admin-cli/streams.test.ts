import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { AdminStandin } from './support/admin-standin.ts';
import {
  inFolder,
  outcomeOf,
  runHence,
  runInTerminal,
  spawnHence,
  until,
} from './support/hence.ts';

const colours = '\u001b[3';

describe('Streams and terminals of the hence command', () => {
  let admin: AdminStandin;
  let env: Record<string, string>;

  beforeEach(async () => {
    admin = new AdminStandin();
    env = { HENCE_URL: await admin.start(), HENCE_TOKEN: admin.token };
  });
  afterEach(() => admin.stop());

  const line = {
    time: '2026-01-01T12:00:00.000Z',
    level: 'error',
    message: 'deploy failed\u001b]0;x',
    service: 'a.b',
    cid: 'c-1',
    frame: '> 14 │ const\n  15 │ }',
  };

  it('prints log lines for people, and as they are for programs', async () => {
    admin.logLines = [line];
    const pretty = await runHence(['logs'], { env });
    expect(pretty.code).to.equal(0);
    expect(pretty.stdout).to.match(
      /^\d\d:\d\d:\d\d {2}error {2}deploy failed\]0;x {2}service=a\.b {2}cid=c-1\n/,
    );
    expect(pretty.stdout).to.contain('          > 14 │ const\n            15 │ }\n');
    const raw = await runHence(['logs', '-o', 'json'], { env });
    expect(raw.stdout).to.equal(`${JSON.stringify(line)}\n`);
  });

  it('asks the admin API to filter', async () => {
    const flags = '--level warn --cid c1 --grep text --since 10m --limit 5'.split(' ');
    await runHence(['logs', ...flags, '--service', 'a.b'], { env });
    const filters = { level: 'warn', cid: 'c1', grep: 'text', since: '10m', limit: '5' };
    expect(admin.last.query).to.deep.equal({ ...filters, service: 'a.b' });
    await runHence(['service', 'logs', 'a.b', '-f', '--timeout', '150ms'], { env });
    expect(admin.last.query).to.deep.equal({ follow: '1', service: 'a.b' });
  });

  it('follows the log as it comes, and ends with 130 at Ctrl-C', async () => {
    admin.logLines = [{ ...line, message: 'first' }];
    const child = spawnHence(['logs', '-f'], { env });
    await until(child, 'first');
    for (const follower of admin.followers) {
      follower.write(`${JSON.stringify({ ...line, message: 'second' }).slice(0, 40)}`);
      follower.write(`${JSON.stringify({ ...line, message: 'second' }).slice(40)}\n`);
    }
    await until(child, 'second');
    child.kill('SIGINT');
    const [code] = await once(child, 'close');
    expect(code).to.equal(130);
  });

  it('ends with 6 when the log it follows ends', async () => {
    const child = spawnHence(['logs', '-f'], { env });
    const ended = outcomeOf(child);
    while (admin.followers.size === 0) await new Promise((resolve) => setImmediate(resolve));
    for (const follower of admin.followers) follower.end();
    const { code, stderr } = await ended;
    expect(code).to.equal(6);
    expect(stderr).to.contain('ended the log');
  });

  it('is quiet when its reader has seen enough', async () => {
    admin.logLines = Array.from({ length: 20_000 }, (_, at) => ({ ...line, at }));
    const child = spawnHence(['logs', '-o', 'json'], { env });
    let stderr = '';
    child.stderr?.on('data', (chunk) => {
      stderr += String(chunk);
    });
    await once(child.stdout ?? child, 'data');
    child.stdout?.destroy();
    const [code] = await once(child, 'close');
    expect({ code, stderr }).to.deep.equal({ code: 0, stderr: '' });
  });

  it('writes no colour into a pipe', async () => {
    const { stdout } = await runHence(['service', 'list'], { env });
    expect(stdout).not.to.contain('\u001b');
  });

  describe('in a terminal', () => {
    before(function () {
      const there = spawnSync('script', ['-qec', 'true', '/dev/null']);
      // util-linux's script makes the terminal; other systems have another one or none.
      if (there.status !== 0) this.skip();
    });

    it('colours, unless NO_COLOR, --no-color or a dumb terminal says otherwise', async () => {
      const list = ['service', 'list'];
      const [plain, ...others] = await Promise.all([
        runInTerminal(list, { env }),
        runInTerminal(list, { env: { ...env, NO_COLOR: '1' } }),
        runInTerminal([...list, '--no-color'], { env }),
        runInTerminal(list, { env: { ...env, TERM: 'dumb' } }),
        runInTerminal([...list, '-o', 'json'], { env }),
      ]);
      expect(plain?.screen).to.contain(`${colours}1mFAILED`);
      for (const { screen } of others) expect(screen).not.to.contain(colours);
    });

    it('asks before it deletes', async () => {
      admin.put('channel', 'a', { path: '/a' });
      const question = 'Deleting channel a? [y/N]';
      const no = await runInTerminal(['channel', 'delete', 'a'], {
        env,
        answers: [[question, 'n\n']],
      });
      expect(no.code).to.equal(1);
      expect(no.screen).to.contain('nothing deleted');
      const yes = await runInTerminal(['channel', 'delete', 'a'], {
        env,
        answers: [[question, 'y\n']],
      });
      expect(yes.code).to.equal(0);
      expect(admin.definitions.get('channel')?.size).to.equal(0);
      const never = await runInTerminal(['channel', 'delete', 'a', '--no-input'], { env });
      expect(never.code).to.equal(3);
    });

    it('asks for what create misses, and prints the command for the next time', async () => {
      const { code, screen } = await runInTerminal(['channel', 'create', 'a'], {
        env,
        answers: [
          ['(--path):', '/a\n'],
          ['(--service):', 's.a\n'],
        ],
      });
      expect(code).to.equal(0);
      expect(screen).to.contain('same as: hence channel create a --path /a --service s.a');
      expect(JSON.parse(admin.last.body)).to.deep.equal({ name: 'a', path: '/a', service: 's.a' });
    });

    it('does not show a password while it is typed', async () => {
      const { code, screen } = await runInTerminal(['security', 'create', 'p', '--username', 'p'], {
        env,
        answers: [['Password (not shown):', 'very sx\u007fecret\r']],
      });
      expect(code).to.equal(0);
      expect(JSON.parse(admin.last.body)).to.deep.include({ password: 'very secret' });
      expect(screen).not.to.contain('very');
    });

    it('ends with 130 at Ctrl-C in a question', async () => {
      const secret = await runInTerminal(['security', 'create', 'p', '--username', 'p'], {
        env,
        answers: [['Password (not shown):', '\u0003']],
      });
      expect(secret.code).to.equal(130);
      const question = await runInTerminal(['channel', 'create', 'a'], {
        env,
        answers: [['(--path):', '\u0003']],
      });
      expect(question.code).to.equal(130);
      expect(admin.seen).to.have.length(0);
    });

    it('prints Redis replies with their types', async () => {
      const { screen } = await runInTerminal(['kvdb', 'lrange', 'k', '0', '-1'], { env });
      expect(screen).to.contain('1) "a"\r\n2) "b \\"c\\""\r\n');
      const nil = await runInTerminal(['kvdb', 'get', 'k'], { env });
      expect(nil.screen).to.contain('(nil)');
      const integer = await runInTerminal(['kvdb', 'hset', 'k', 'f', 'v'], { env });
      expect(integer.screen).to.contain('(integer) 1');
    });

    it('opens the editor on YAML, and puts the whole definition back', async () => {
      await inFolder(async (cwd) => {
        admin.put('channel', 'a', { path: '/a', service: 's.a' });
        const editor = join(cwd, 'editor.mjs');
        const text =
          "import { readFileSync, writeFileSync } from 'node:fs';\n" +
          'const path = process.argv[2];\n' +
          "writeFileSync(path, readFileSync(path, 'utf8').replace('/a', '/b'));\n";
        await writeFile(editor, text);
        const withEditor = { ...env, EDITOR: `${process.execPath} ${editor}` };
        const { code, screen } = await runInTerminal(['channel', 'edit', 'a'], { env: withEditor });
        expect(code).to.equal(0);
        expect(screen).to.contain('channel a changed, revision 5');
        expect(admin.last.method).to.equal('PUT');
        expect(admin.last.headers['if-match']).to.equal('"4"');
        expect(JSON.parse(admin.last.body)).to.deep.equal({ path: '/b', service: 's.a' });
        const same = await runInTerminal(['channel', 'edit', 'a'], {
          env: { ...env, EDITOR: 'true' },
        });
        expect(same.screen).to.contain('nothing changed');
        expect(admin.last.method).to.equal('GET');
      });
    });

    it('keeps what was edited when it does not parse', async () => {
      await inFolder(async (cwd) => {
        admin.put('channel', 'a', { path: '/a' });
        const editor = join(cwd, 'editor.mjs');
        await writeFile(
          editor,
          "import { writeFileSync } from 'node:fs';\nwriteFileSync(process.argv[2], 'a: [1');\n",
        );
        const { code, screen } = await runInTerminal(['channel', 'edit', 'a'], {
          env: { ...env, EDITOR: `${process.execPath} ${editor}`, TMPDIR: cwd },
        });
        expect(code).to.equal(2);
        const [, path = ''] = /where: (\S+?):1:\d+/.exec(screen) ?? [];
        expect(await readFile(path, 'utf8')).to.equal('a: [1');
      });
    });
  });
});

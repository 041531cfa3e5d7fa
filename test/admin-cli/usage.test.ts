import { once } from 'node:events';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { expect } from 'chai';
import { AdminStandin } from './support/admin-standin.ts';
import { inFolder, outcomeOf, runHence, spawnHence } from './support/hence.ts';

describe('The hence command', () => {
  const admin = new AdminStandin();
  let env: Record<string, string>;

  before(async () => {
    env = { HENCE_URL: await admin.start(), HENCE_TOKEN: admin.token };
  });
  after(() => admin.stop());

  it('prints the version of the package', async () => {
    const file = new URL('../../../package.json', import.meta.url);
    const { version } = JSON.parse(await readFile(file, 'utf8')) as { version: string };
    expect(await runHence(['--version'])).to.deep.equal({
      code: 0,
      stdout: `${version}\n`,
      stderr: '',
    });
  });

  it('prints its help to stdout, with every noun, the exit codes and examples', async () => {
    const [bare, asked] = await Promise.all([runHence([]), runHence(['--help'])]);
    expect(bare).to.deep.equal(asked);
    expect(asked.code).to.equal(0);
    for (const noun of ['start', 'service', 'channel', 'outgoing', 'kvdb', 'logs', 'standin']) {
      expect(asked.stdout).to.match(new RegExp(`^ {2}${noun} `, 'm'));
    }
    expect(asked.stdout).to.contain('Exit codes: 0 ok').and.to.contain('$ hence status');
  });

  it('shows the flags and examples of one verb, its own apart from the global ones', async () => {
    const { code, stdout } = await runHence(['outgoing', 'create', '--help']);
    expect(code).to.equal(0);
    const [own = '', shared = ''] = stdout.split('Global options:');
    expect(own).to.contain('--address <url>').and.to.contain('--password-stdin');
    expect(own).not.to.contain('--token');
    expect(shared).to.contain('--token <token>').and.to.contain('Examples:');
  });

  it('shows the help of a noun by `help NOUN`', async () => {
    const { code, stdout } = await runHence(['help', 'channel']);
    expect(code).to.equal(0);
    expect(stdout).to.contain('create [options] <name>');
  });

  for (const [args, hint] of [
    [['chanel', 'list'], 'Did you mean channel?'],
    [['channel', 'creat'], 'Did you mean create?'],
    [['channel', 'create', 'x', '--pth', '/x'], 'Did you mean --path?'],
  ] as const) {
    it(`answers "hence ${args.join(' ')}" with "${hint}" and exit code 2`, async () => {
      const { code, stdout, stderr } = await runHence(args);
      expect({ code, stdout }).to.deep.equal({ code: 2, stdout: '' });
      expect(stderr)
        .to.match(/^error {2}unknown/)
        .and.to.contain(hint);
    });
  }

  it('refuses wrong usage with exit code 2, on stderr alone', async () => {
    const wrong = [
      'channel',
      'channel show',
      'channel show a b',
      'channel list -o xml',
      'channel list --limit 0',
      'channel list --limit 1.5',
      'status --timeout 5',
      'status --url ftp://x',
      'start --port 65536',
      'start --workers many',
    ];
    await Promise.all(
      wrong.map(async (line) => {
        const { code, stdout, stderr } = await runHence(line.split(' '));
        expect({ line, code, stdout }).to.deep.equal({ line, code: 2, stdout: '' });
        expect(stderr, line).not.to.equal('');
      }),
    );
  });

  it('takes global flags before the noun, after the noun and after the verb', async () => {
    const rest = ['service', 'list'];
    const runs = await Promise.all([
      runHence(['-o', 'name', ...rest], { env }),
      runHence(['service', '-o', 'name', 'list'], { env }),
      runHence([...rest, '-o', 'name'], { env }),
      runHence(['-o', 'json', ...rest, '-o', 'name'], { env }),
    ]);
    for (const { stdout } of runs) {
      expect(stdout).to.equal('demo.log\norders.import\npushover.send-message\n');
    }
  });

  it('ends with 6 and names the start command when nothing runs', async () => {
    await inFolder(async (cwd) => {
      const { code, stdout, stderr } = await runHence(['status'], { cwd });
      expect({ code, stdout }).to.deep.equal({ code: 6, stdout: '' });
      expect(stderr).to.contain('No running Hence').and.to.contain('fix:   npm start');
    });
  });

  it('ends with 6 when the address refuses connections', async () => {
    const taken = createServer().listen(0, '127.0.0.1');
    await once(taken, 'listening');
    const { port } = taken.address() as { port: number };
    taken.close();
    await once(taken, 'close');
    const url = `http://127.0.0.1:${port}`;
    const { code, stderr } = await runHence(['status', '--url', url, '--token', 'x']);
    expect(code).to.equal(6);
    expect(stderr).to.contain(`Hence is not running at ${url}`).and.to.contain('npm start');
  });

  it('ends with 124 when no answer comes within --timeout', async () => {
    const silent = createServer(() => {}).listen(0, '127.0.0.1');
    await once(silent, 'listening');
    const { port } = silent.address() as { port: number };
    const child = spawnHence(['status', '--url', `127.0.0.1:${port}`, '--timeout', '150ms']);
    const sockets: { destroy(): void }[] = [];
    silent.on('connection', (socket) => sockets.push(socket));
    const { code, stderr } = await outcomeOf(child);
    expect(code).to.equal(124);
    expect(stderr).to.contain('in 150 ms');
    for (const socket of sockets) socket.destroy();
    silent.close();
    await once(silent, 'close');
  });

  it('finds the running Hence by the nearest .hence/admin.json, upwards', async () => {
    await inFolder(async (folder) => {
      const below = join(folder, 'a', 'b');
      await mkdir(below, { recursive: true });
      await mkdir(join(folder, '.hence'));
      const { url, token } = admin;
      const text = JSON.stringify({ url, token, pid: process.pid });
      await writeFile(join(folder, '.hence', 'admin.json'), text);
      const { code, stdout } = await runHence(['status', '-o', 'name'], { cwd: below });
      expect({ code, stdout }).to.deep.equal({ code: 0, stdout: 'ready\n' });
      const HENCE_DIR = join(folder, '.hence');
      const other = await runHence(['status', '-o', 'name'], { env: { HENCE_DIR } });
      expect(other.stdout).to.equal('ready\n');
    });
  });

  it("does not send a file's token to another address", async () => {
    await inFolder(async (cwd) => {
      await mkdir(join(cwd, '.hence'));
      const text = JSON.stringify({ url: 'http://127.0.0.1:9', token: admin.token, pid: 1 });
      await writeFile(join(cwd, '.hence', 'admin.json'), text);
      const { code } = await runHence(['status', '--url', admin.url], { cwd });
      expect(code).to.equal(5);
      expect(admin.last.headers.authorization).to.equal(undefined);
    });
  });

  it('ends with 5 for a wrong token, and does not repeat it, even with -v', async () => {
    const { code, stdout, stderr } = await runHence(['status', '-v'], {
      env: { ...env, HENCE_TOKEN: 'wrong-secret-token' },
    });
    expect({ code, stdout }).to.deep.equal({ code: 5, stdout: '' });
    expect(stderr).to.contain('The token is wrong').and.to.contain('fix:   give --token');
    expect(stderr).to.contain('> GET /api/status 401').and.not.to.contain('wrong-secret');
  });

  it('ends with the exit code of each fault, and says it on stderr', async () => {
    const expected = {
      'bad-request': 2,
      unauthorized: 5,
      forbidden: 5,
      'not-found': 3,
      'method-not-allowed': 1,
      conflict: 4,
      'too-large': 2,
      'too-many': 1,
      timeout: 124,
      unavailable: 1,
      internal: 1,
    };
    const runs = await Promise.all(
      Object.keys(expected).map(async (fault) => {
        const { code, stdout, stderr } = await runHence(['invoke', `fail-${fault}`], { env });
        expect(stdout).to.equal('');
        expect(stderr).to.contain(`error  It failed: ${fault}\n`);
        return [fault, code] as const;
      }),
    );
    expect(Object.fromEntries(runs)).to.deep.equal(expected);
  });

  it('starts fast', async () => {
    const started = performance.now();
    const { code } = await runHence(['service', 'list', '-o', 'json'], { env });
    const ms = Math.round(performance.now() - started);
    expect(code).to.equal(0);
    console.log(`      one CLI call: ${ms} ms`);
  });
});

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmod,
  copyFile,
  mkdir,
  mkdtemp,
  readFile,
  rm,
  stat,
  symlink,
  utimes,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { rejection } from '../support/rejection.ts';
import { root } from '../support/root.ts';

interface Host {
  readonly root: string;
  readonly env: Record<string, string>;
  readonly nodeVersion: string;
  readonly uid: number;
  readonly write: (text: string) => void;
  readonly tty: boolean;
  readonly policyFile: string;
}

const script = join(root, 'admin-cli/prepare.mjs');
const { prepare } = (await import(script)) as { prepare: (host: Host) => Promise<void> };

/** What the scripts of a test may call; everything else of this machine is out of reach. */
const tools = ['sh', 'env', 'chmod', 'rm', 'mkdir', 'sleep', 'true'];

// Writes what the real one would, a little later than the sources.
const fakeNpm = `echo "npm $*" >> "$LOG"
case "$1" in
  ci) mkdir -p node_modules; echo '{"packages":{"a":{},"b":{}}}' > node_modules/.package-lock.json ;;
  run) mkdir -p dist ;;
esac`;

describe('prepare', () => {
  let base: string;
  let bin: string;
  let output: string;

  beforeEach(async () => {
    base = await mkdtemp(join(tmpdir(), 'hence-test-'));
    bin = join(base, 'bin');
    output = '';
    await mkdir(bin);
    for (const tool of tools) await symlink(await which(tool), join(bin, tool));
    await program('npm', fakeNpm);
    for (const file of [
      'package.json',
      'package-lock.json',
      'tsconfig.json',
      'runtime/core/a.ts',
    ]) {
      await save(file);
    }
  });

  afterEach(() => rm(base, { recursive: true, force: true }));

  const here = (file: string) => join(base, 'clone', file);
  const logged = () => readFile(join(base, 'log'), 'utf8').catch(() => '');
  const secondsAgo = (seconds: number) => new Date(Date.now() - seconds * 1_000);

  async function save(file: string, time = secondsAgo(60)): Promise<void> {
    await mkdir(dirname(here(file)), { recursive: true });
    await writeFile(here(file), '');
    await utimes(here(file), time, time);
    for (let dir = dirname(here(file)); dir !== base; dir = dirname(dir))
      await utimes(dir, time, time);
  }

  async function program(name: string, body: string): Promise<void> {
    await writeFile(join(bin, name), `#!/bin/sh\n${body}\n`);
    await chmod(join(bin, name), 0o755);
  }

  function host(options: Partial<Host> = {}): Host {
    return {
      root: here('.'),
      nodeVersion: '20.19.0',
      uid: 1_000,
      write: (text) => {
        output += text;
      },
      tty: false,
      policyFile: join(base, 'policy-rc.d'),
      ...options,
      env: { PATH: bin, LOG: join(base, 'log'), BIN: bin, ...options.env },
    };
  }

  const ready = () => program('redis-server', '');

  it('installs and builds in a bare clone, with one line for each', async () => {
    await ready();
    await prepare(host());
    expect(await logged()).to.match(/^npm ci .*--include=dev.*\nnpm run --silent build\n$/);
    expect(output).to.match(
      /^ {2}✔ dependencies +2 packages +\d+\.\d s\n {2}✔ build +compiled +\d/,
    );
  });

  it('does nothing, and says nothing, the second time', async () => {
    await ready();
    await prepare(host());
    const before = await logged();
    output = '';
    await prepare(host());
    expect(output).to.equal('');
    expect(await logged()).to.equal(before);
  });

  it('installs again when the lock file is newer', async () => {
    await ready();
    await prepare(host());
    const later = new Date(Date.now() + 10_000);
    await utimes(here('package-lock.json'), later, later);
    output = '';
    await prepare(host());
    expect(output).to.contain('✔ dependencies').and.not.to.contain('✔ build');
  });

  for (const [what, change] of [
    ['a source is newer', () => save('runtime/core/a.ts', new Date(Date.now() + 10_000))],
    ['a source is new', () => save('channels/http/b.ts', new Date(Date.now() + 10_000))],
    ['a setting is newer', () => save('tsconfig.json', new Date(Date.now() + 10_000))],
    ['a source is gone', () => rm(here('runtime/core/a.ts'))],
    ['the build is gone', () => rm(here('dist'), { recursive: true })],
  ] as const) {
    it(`builds again when ${what}`, async () => {
      await ready();
      await prepare(host());
      output = '';
      await change();
      await prepare(host());
      expect(output).to.contain('✔ build').and.not.to.contain('✔ dependencies');
    });
  }

  it('removes what was compiled from a source that is gone, and nothing else', async () => {
    await ready();
    for (const end of ['.js', '.js.map', '.d.ts']) await save(`dist/test/old.test${end}`);
    for (const end of ['.js', '.js.map', '.d.ts']) await save(`dist/runtime/core/a${end}`);
    await save('dist/admin-cli/hence-start-1a2b.js.map');
    await prepare(host());
    for (const end of ['.js', '.js.map', '.d.ts']) {
      expect(await rejection(stat(here(`dist/test/old.test${end}`)))).to.have.property(
        'code',
        'ENOENT',
      );
      await stat(here(`dist/runtime/core/a${end}`));
    }
    await stat(here('dist/admin-cli/hence-start-1a2b.js.map'));
  });

  it('shows what npm said when it fails', async () => {
    await program('npm', 'echo "npm error no such registry" >&2; exit 7');
    const refusal = await rejection(prepare(host()));
    expect(refusal.message).to.contain('✖ dependencies').and.to.contain('exit code 7');
    expect(refusal.message).to.contain('npm error no such registry');
  });

  it('compiles again after a build that failed', async () => {
    await ready();
    await program('npm', `${fakeNpm}\n[ "$1" = ci ] || { echo 'a.ts(1,1): error'; exit 2; }`);
    expect((await rejection(prepare(host()))).message).to.contain('a.ts(1,1): error');
    await program('npm', fakeNpm);
    output = '';
    await prepare(host());
    expect(output).to.contain('✔ build');
  });

  for (const [version, fine] of [
    ['20.18.9', false],
    ['18.20.0', false],
    ['20.19.0', true],
    ['21.0.0', true],
    ['24.1.0', true],
  ] as const) {
    it(`${fine ? 'accepts' : 'refuses'} Node ${version}`, async () => {
      await ready();
      const outcome = prepare(host({ nodeVersion: version }));
      if (fine) return await outcome;
      const refusal = await rejection(outcome);
      expect(refusal.message).to.contain(version).and.to.contain('20.19 or newer');
      expect(await logged()).to.equal('');
    });
  }

  it('lets one of two prepare, and the other wait for it', async () => {
    await ready();
    await program('npm', `sleep 0.1; ${fakeNpm}`);
    await Promise.all([prepare(host()), prepare(host())]);
    expect((await logged()).match(/npm ci/g)).to.have.length(1);
    expect((await logged()).match(/npm run/g)).to.have.length(1);
    expect(output).to.contain('waiting');
  });

  it('does not wait for one that was killed', async () => {
    await ready();
    const gone = spawn('true');
    await once(gone, 'exit');
    await save('.hence/prepare.lock');
    await writeFile(here('.hence/prepare.lock'), String(gone.pid));
    await prepare(host());
    expect(output).to.contain('✔ build');
  });

  describe('without a Redis', () => {
    const makesRedis = `echo '#!/bin/sh' > "$BIN/redis-server"; chmod 755 "$BIN/redis-server"`;
    const logs = (name: string) => `echo "${name} $*" >> "$LOG"`;

    for (const [name, called] of [
      ['apt-get', 'apt-get install -y redis-server'],
      ['dnf', 'dnf install -y redis'],
      ['apk', 'apk add --no-cache redis'],
      ['brew', 'brew install redis'],
    ] as const) {
      it(`installs one with ${name} as root`, async () => {
        await program(name, `${logs(name)}; ${makesRedis}`);
        await prepare(host({ uid: 0 }));
        expect(await logged()).to.contain(`${called}\n`);
        expect(output).to.match(new RegExp(`✔ redis +installed with ${name} `));
      });
    }

    it('installs one with passwordless sudo', async () => {
      await program('sudo', `${logs('sudo')}; shift; exec "$@"`);
      await program('dnf', makesRedis);
      await prepare(host());
      expect(await logged()).to.contain('sudo -n true\nsudo -n dnf install -y redis\n');
      expect(output).to.contain('✔ redis');
    });

    it('fetches the lists of apt-get when they do not know the package', async () => {
      await program(
        'apt-get',
        `${logs('apt-get')}; case "$1" in
          update) : > "$BIN/../lists" ;;
          *) [ -e "$BIN/../lists" ] || exit 100; ${makesRedis} ;;
        esac`,
      );
      await prepare(host({ uid: 0 }));
      expect(await logged()).to.match(
        /install -y valkey-server\napt-get update\napt-get install -y redis-server\n$/,
      );
    });

    it('keeps Debian from starting a second Redis, and leaves no trace of that', async () => {
      const check = `"$BIN/../policy-rc.d" redis start; echo "policy $?, $DEBIAN_FRONTEND" >> "$LOG"`;
      await program('apt-get', `${check}; ${makesRedis}`);
      await prepare(host({ uid: 0, env: { https_proxy: 'http://proxy:3128' } }));
      expect(await logged()).to.contain('policy 101, noninteractive');
      expect(await rejection(stat(join(base, 'policy-rc.d')))).to.have.property('code', 'ENOENT');
    });

    it('keeps the rule for services that the machine has', async () => {
      await writeFile(join(base, 'policy-rc.d'), '#!/bin/sh\nexit 0\n');
      await program('apt-get', makesRedis);
      await prepare(host({ uid: 0 }));
      expect(await readFile(join(base, 'policy-rc.d'), 'utf8')).to.contain('exit 0');
    });

    it('explains in two lines when this user may not install', async () => {
      await program('sudo', 'echo "sudo: a password is required" >&2; exit 1');
      await program('apt-get', logs('apt-get'));
      const refusal = await rejection(prepare(host()));
      expect(refusal.message.split('\n')).to.deep.equal([
        '  ✖ redis                   not found on PATH, and this user cannot install packages',
        '      either  sudo apt-get install redis-server      then run npm start again',
        '      or      REDIS_URL=redis://host:6379 npm start',
      ]);
      expect(await logged()).not.to.contain('apt-get');
    });

    it('explains when there is nothing to install with', async () => {
      const refusal = await rejection(prepare(host({ uid: 0 })));
      expect(refusal.message).to.contain('install redis-server or valkey-server 6.2+');
    });

    it('shows the end of what the package manager said when that fails', async () => {
      await program('dnf', 'echo "Error: no network"; exit 1');
      const refusal = await rejection(prepare(host({ uid: 0 })));
      expect(refusal.message)
        .to.contain('dnf could not install it')
        .and.to.contain('Error: no network');
      expect(refusal.message).to.contain('sudo dnf install redis');
    });

    it('needs none when an address is given, except for the tests', async () => {
      const env = { REDIS_URL: 'redis://elsewhere' };
      await prepare(host({ env }));
      const refusal = await rejection(
        prepare(host({ env: { ...env, npm_lifecycle_event: 'pretest' } })),
      );
      expect(refusal.message).to.contain('run npm test again').and.not.to.contain('REDIS_URL');
    });

    it('takes a Valkey', async () => {
      await program('valkey-server', '');
      await prepare(host());
      expect(output).not.to.contain('redis');
    });
  });

  it('runs as a program, ends with 1 and the reason on stderr', async () => {
    // A copy, because the script prepares the folder above its own.
    for (const name of ['prepare.mjs', 'prepare-redis.mjs', 'prepare-step.mjs']) {
      await save(`admin-cli/${name}`);
      await copyFile(join(root, 'admin-cli', name), here(`admin-cli/${name}`));
    }
    const child = spawn(process.execPath, [here('admin-cli/prepare.mjs')], {
      env: { PATH: bin, LOG: join(base, 'log'), npm_lifecycle_event: 'pretest' },
    });
    let errors = '';
    child.stderr.on('data', (bytes) => {
      errors += bytes;
    });
    const [code] = await once(child, 'close');
    expect(await logged()).to.contain('npm ci');
    expect([code, errors.split('\n')[0]]).to.deep.equal([
      1,
      '  ✖ redis                   not found on PATH, and this user cannot install packages',
    ]);
  });
});

async function which(name: string): Promise<string> {
  const dirs = (process.env['PATH'] ?? '').split(':');
  for (const dir of dirs) {
    const found = await stat(join(dir, name)).catch(() => undefined);
    if (found?.isFile()) return join(dir, name);
  }
  throw new Error(`${name} is not on the PATH of ${fileURLToPath(import.meta.url)}`);
}

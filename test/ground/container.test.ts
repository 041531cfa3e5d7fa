import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { access, readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect } from 'chai';
import { parseDocument } from 'yaml';
import { defaults, settingsFrom } from '../../runtime/roof/settings.ts';
import { startRedis } from '../support/redis.ts';
import { root } from '../support/root.ts';

interface Compose {
  readonly services: Readonly<Record<'redis' | 'hence', ComposeService>>;
  readonly volumes: Readonly<Record<string, unknown>>;
}

interface ComposeService {
  readonly image?: string;
  readonly build?: string;
  readonly init?: boolean;
  readonly user?: string;
  readonly command?: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  readonly ports?: readonly string[];
  readonly volumes: readonly string[];
  readonly healthcheck: { readonly test: readonly string[] };
  readonly depends_on?: Readonly<Record<string, { readonly condition: string }>>;
  readonly stop_grace_period?: string;
}

interface Instruction {
  readonly name: string;
  readonly words: readonly string[];
  readonly text: string;
}

const read = (file: string) => readFile(join(root, file), 'utf8');

async function exitCode(script: string): Promise<number> {
  return await promisify(execFile)(process.execPath, ['-e', script]).then(
    () => 0,
    (thrown: { code: number }) => thrown.code,
  );
}

describe('docker-compose.yml', () => {
  let compose: Compose;

  before(async () => {
    const document = parseDocument(await read('docker-compose.yml'), { uniqueKeys: true });
    expect(document.errors.concat(document.warnings)).to.deep.equal([]);
    compose = document.toJS() as Compose;
  });

  it('runs a Redis that accepts its arguments, is durable and drops nothing', async () => {
    const [program, ...args] = compose.services.redis.command ?? [];
    expect(program).to.equal('redis-server');
    const redis = await startRedis({ args });
    await redis.stop();
    expect(args.join(' '))
      .to.contain('--appendonly yes --appendfsync always')
      .and.to.contain('--maxmemory-policy noeviction');
    expect(compose.services.redis.image).to.match(/^redis:\d+\.\d+-alpine$/);
  });

  it('keeps data in named volumes that it declares, and mounts the services', () => {
    const { redis, hence } = compose.services;
    const named = [...redis.volumes, ...hence.volumes]
      .map((volume) => volume.split(':')[0] ?? '')
      .filter((source) => !source.startsWith('.'));
    expect(Object.keys(compose.volumes)).to.have.members(named);
    expect(redis.volumes).to.deep.equal(['redis-data:/data']);
    expect(hence.volumes).to.include(`./services:/app/${defaults.servicesDir}`);
    expect(hence.volumes).to.include(`hence-data:/app/${defaults.dataDir}`);
  });

  it('gives the runtime only settings that it knows', () => {
    const given = compose.services.hence.environment ?? {};
    const asked = new Set<string>();
    const env = new Proxy<Record<string, string>>(
      {},
      {
        get: (_, name) => {
          asked.add(String(name));
          return given[String(name)]?.replace(/\$\{.*\}/, '');
        },
      },
    );
    const settings = settingsFrom({}, env, '/app');
    expect([...asked]).to.include.members(Object.keys(given));
    expect(settings.redisUrl).to.equal('redis://redis:6379');
    expect(settings.logFormat).to.equal('json');
  });

  it('opens the port of the channels to this machine only', () => {
    expect(compose.services.hence.ports).to.deep.equal([
      `127.0.0.1:${defaults.port}:${defaults.port}`,
    ]);
  });

  it('asks the admin port whether it is ready, with a program that works', async () => {
    const [kind, program, flag, code] = compose.services.hence.healthcheck.test;
    expect([kind, program, flag]).to.deep.equal(['CMD', 'node', '-e']);
    expect(code).to.contain(`http://127.0.0.1:${defaults.adminPort}/readyz`);
    const answers = async (status: number) => {
      const server = createServer((_, response) => response.writeHead(status).end());
      server.listen(0, '127.0.0.1');
      await once(server, 'listening');
      const { port } = server.address() as AddressInfo;
      const outcome = await exitCode((code ?? '').replace(String(defaults.adminPort), `${port}`));
      server.close();
      return outcome;
    };
    expect([await answers(200), await answers(503)]).to.deep.equal([0, 1]);
    // Nothing listens on port 1.
    expect(await exitCode((code ?? '').replace(String(defaults.adminPort), '1'))).to.equal(1);
  });

  it('starts after Redis is ready, as no root, and gives calls time to finish', () => {
    const { hence } = compose.services;
    expect(hence).to.include({ build: '.', init: true, user: 'node' });
    expect(hence.depends_on).to.deep.equal({ redis: { condition: 'service_healthy' } });
    const graceMs = Number(hence.stop_grace_period?.replace(/s$/, '')) * 1_000;
    expect(graceMs).to.be.greaterThan(defaults.graceMs);
  });
});

describe('Dockerfile', () => {
  const known = ['FROM', 'WORKDIR', 'COPY', 'RUN', 'ENV', 'USER', 'VOLUME', 'EXPOSE', 'CMD'];
  let instructions: readonly Instruction[];

  before(async () => {
    instructions = (await read('Dockerfile'))
      .split('\n')
      .filter((line) => line.trim() !== '' && !line.startsWith('#'))
      .map((line) => {
        const [name = '', ...words] = line.trim().split(/\s+/);
        return { name, words, text: words.join(' ') };
      });
  });

  const all = (name: string) => instructions.filter((instruction) => instruction.name === name);

  it('has only instructions that exist, and begins with FROM', () => {
    expect(instructions.map(({ name }) => name).filter((name) => !known.includes(name))).to.be
      .empty;
    expect(instructions[0]?.name).to.equal('FROM');
  });

  it('uses the oldest Node that is promised', async () => {
    const { engines } = JSON.parse(await read('package.json')) as { engines: { node: string } };
    const major = /\d+/.exec(engines.node)?.[0];
    for (const { words } of all('FROM')) expect(words[0]).to.equal(`node:${major}-slim`);
  });

  it('copies what exists and is not ignored', async () => {
    const ignored = (await read('.dockerignore')).split('\n').filter((line) => line !== '');
    const sources = all('COPY')
      .filter(({ words }) => !words[0]?.startsWith('--from='))
      .flatMap(({ words }) => words.slice(0, -1));
    expect(sources).not.to.be.empty;
    for (const source of sources) {
      await access(join(root, source));
      expect(ignored).not.to.include(source.split('/')[0]);
    }
  });

  it('takes from an earlier stage only what that stage has', () => {
    const stages = all('FROM').flatMap(({ words }) => (words[1] === 'AS' ? [words[2]] : []));
    const built = all('COPY').flatMap(({ words }) =>
      words.slice(-1).map((to) => to.replace(/\/$/, '')),
    );
    const made = [...built, 'node_modules', 'dist'];
    for (const { words } of all('COPY')) {
      if (!words[0]?.startsWith('--from=')) continue;
      expect(stages).to.include(words[0].slice('--from='.length));
      expect(made).to.include(words[1]?.replace('/app/', ''));
    }
  });

  it('has every folder that the build compiles, but for the tests', async () => {
    const { include } = JSON.parse(await read('tsconfig.build.json')) as { include: string[] };
    const copied = all('COPY').flatMap(({ words }) => words.slice(0, -1));
    expect(copied).to.include.members(include.filter((folder) => folder !== 'test'));
  });

  it('starts as no root, with flags the command knows, on the port it shows', async () => {
    const command = JSON.parse(all('CMD')[0]?.text ?? '[]') as string[];
    const [program, file = '', verb, ...flags] = command;
    expect([program, verb]).to.deep.equal(['node', 'start']);
    expect(instructions.findIndex(({ name }) => name === 'USER')).to.be.lessThan(
      instructions.findIndex(({ name }) => name === 'CMD'),
    );
    expect(all('USER').map(({ text }) => text)).to.deep.equal(['node']);
    expect(all('EXPOSE').map(({ text }) => text)).to.deep.equal([String(defaults.port)]);
    const help = await promisify(execFile)(process.execPath, [join(root, file), 'start', '--help']);
    for (const flag of flags.filter((word) => word.startsWith('--'))) {
      expect(help.stdout).to.contain(flag);
    }
  });
});

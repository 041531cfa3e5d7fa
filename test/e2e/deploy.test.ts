import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import type { DeployReport } from '../../runtime/admin/api.ts';
import { type Load, startLoad } from '../support/load.ts';
import { type System, startSystem } from '../support/system.ts';
import { until } from '../support/until.ts';

const says = (text: string, before = '') => `import { Service } from 'hence';
${before}
export class Say extends Service { handle() { return { says: ${text} }; } }
`;

const channel = (name: string, service: string) => ({ name, path: `/${name}`, service });

describe('A deploy while workers die', () => {
  it('reaches every worker that lives and blames no file', async () => {
    const system = await startSystem({
      services: { 'voice.ts': says('0') },
      yaml: 'channels: { say: { path: /say, service: voice.say } }',
      args: ['--workers', '2'],
    });
    // Slow to load, so that the deaths come in the middle of it.
    const slow = 'await new Promise((done) => setTimeout(done, 30));';
    const moments = ['standby', 'serving', 'serving', 'standby'] as const;
    for (const [at, state] of moments.entries()) {
      await until(async () => (await system.workerPids('standby')).length === 1);
      const [victim = 0] = await system.workerPids(state);
      const deploying = system.admin('PUT', '/api/files/voice.ts', says(String(at + 1), slow));
      await new Promise((resolve) => setTimeout(resolve, 20 + at * 25));
      process.kill(victim, 'SIGKILL');
      const report = (await deploying).json<DeployReport>();
      expect(report.failures).to.deep.equal([]);
      expect(report.deployed.map(({ name }) => name)).to.deep.equal(['voice.say']);
    }
    await until(async () => (await system.workerPids('serving')).length === 2);
    const load = startLoad(`${system.url}/say`, { connections: 6 });
    await until(() => load.sent > 100);
    const { bodies, failed } = await load.stop();
    expect([...bodies.keys(), ...failed]).to.deep.equal(['{"says":4}']);
    expect((await system.service('voice.say'))?.version).to.equal(5);
    expect((await system.status()).failures).to.deep.equal([]);
    await system.stop();
  });

  it('leaves a file out of a new worker that it does not let load, and the others serve', async () => {
    const once =
      "import { existsSync, writeFileSync } from 'node:fs';\nif (existsSync('loaded')) process.exit(1);";
    const system = await startSystem({
      services: { 'voice.ts': says("'here'") },
      yaml: 'channels: { say: { path: /say, service: voice.say } }',
      args: ['--workers', '1'],
    });
    await system.save('fussy.ts', says('1', once));
    await until(() => system.service('fussy.say'));
    await writeFile(join(system.dir, 'loaded'), '');
    const pids = await system.workerPids();
    for (const pid of pids) process.kill(pid, 'SIGKILL');
    expect(await (await system.get('/say')).text()).to.equal('{"says":"here"}');
    const line = await until(() =>
      system
        .lines()
        .find(({ message }) => message === 'service file does not load in a new worker'),
    );
    expect(line['file']).to.equal('services/fussy.ts');
    await until(async () => (await system.workerPids('standby')).length === 1);
    await system.stop();
  });
});

describe('A deploy to workers under load', () => {
  let system: System;
  let load: Load;

  before(async () => {
    system = await startSystem({
      services: { 'voice.ts': says("'one'") },
      yaml: 'channels: { say: { path: /say, service: voice.say } }',
      args: ['--workers', '2'],
      env: { HENCE_LOAD: '1s' },
    });
    load = startLoad(`${system.url}/say`, { connections: 4 });
  });

  after(async () => {
    const { failed, sent } = await load.stop();
    await system.stop();
    expect(failed).to.deep.equal([]);
    expect(sent).to.be.greaterThan(500);
  });

  /** Every worker answers so: as many replies as there are connections, and more, and no other. */
  const allSay = async (text: string) => {
    await until(async () => {
      load.seen();
      const from = load.sent;
      await until(() => load.sent > from + 40);
      const bodies = [...load.seen().keys()];
      return bodies.length === 1 && bodies[0] === JSON.stringify({ says: text });
    });
  };

  const failureOf = async (file: string) =>
    (await system.status()).failures.find((each) => each.file === file);

  it('makes a new file live, and an edit, with versions and hashes', async () => {
    await system.save('fresh.ts', says("'new'"));
    const fresh = await until(() => system.service('fresh.say'));
    expect([fresh.version, fresh.state]).to.deep.equal([1, 'ok']);
    const before = await system.service('voice.say');
    await system.save('voice.ts', says("'two'"));
    await allSay('two');
    const view = await until(async () => {
      const now = await system.service('voice.say');
      return now?.version === 2 ? now : undefined;
    });
    expect(view.hash)
      .to.match(/^[0-9a-f]{12}$/)
      .and.not.equal(before?.hash);
    expect(view.history?.map(({ version }) => version)).to.deep.equal([2, 1]);
  });

  it('redeploys who uses an edited helper', async () => {
    await system.save('lib/words.ts', "export const word = 'three';\n");
    await system.save('voice.ts', says('word', "import { word } from './lib/words.ts';"));
    await allSay('three');
    await system.save('lib/words.ts', "export const word = 'four';\n");
    await allSay('four');
  });

  for (const [what, text, kind, place, words] of [
    ['broken syntax', `${says("'no'")}export class {{\n`, 'compile', [4, 14], 'Expected'],
    [
      'an import that is not there',
      says("'no'", "import './nowhere.ts';"),
      'import',
      [2, 8],
      'nowhere',
    ],
    ['a throw at import', says("'no'", "throw new Error('kaput');"), 'import', [2, 7], 'kaput'],
    [
      'a constructor that throws',
      "import { Service } from 'hence';\nexport class Say extends Service {\n  x = (() => { throw new Error('unfit'); })();\n  handle() {}\n}\n",
      'constructor',
      [3, 22],
      'unfit',
    ],
    ['an endless loop at import', says("'no'", 'while (true);'), 'timeout', [2, 1], 'loading'],
    ['process.exit at import', says("'no'", 'process.exit(0);'), 'exit', [2, 9], 'process.exit(0)'],
  ] as const) {
    it(`keeps the old version serving for ${what}, and shows why`, async () => {
      const deployed = await system.service('voice.say');
      await system.save('voice.ts', text);
      const failure = await until(async () => {
        const found = await failureOf('services/voice.ts');
        return found?.kind === kind && found.message.includes(words) ? found : undefined;
      });
      expect([failure.line, failure.column]).to.deep.equal(place);
      expect(failure.frame).to.contain(`> ${place[0]} |`);
      const where = `services/voice.ts:${place.join(':')}`;
      const shown = await system.cli('service', 'show', 'voice.say');
      expect(shown.stdout)
        .to.contain('the newest services/voice.ts does not serve')
        .and.contain(where);
      const line = system.lines().findLast(({ message }) => message === 'deploy failed');
      expect([line?.['file'], line?.['line']]).to.deep.equal(['services/voice.ts', place[0]]);
      const view = await system.service('voice.say');
      expect([view?.version, view?.state]).to.deep.equal([deployed?.version, 'failed']);
      await allSay('four');
    });
  }

  it('tells the sender of a broken file where it is broken', async () => {
    const file = join(system.dir, 'voice.ts');
    await writeFile(file, `${says("'no'")}export class {{\n`);
    const { code, stderr } = await system.cli('service', 'deploy', 'voice.ts');
    expect(code).to.equal(1);
    expect(stderr).to.contain('services/voice.ts:4:14').and.contain('> 4 | export class {{');
    await writeFile(file, says("'five'"));
    const good = await system.cli('service', 'deploy', 'voice.ts');
    expect([good.code, good.stderr]).to.deep.equal([0, '']);
    expect(good.stdout).to.match(/^voice\.say v\d+ deployed/);
    await allSay('five');
    const { items } = (await system.admin('GET', '/api/deploys')).json<{ items: DeployReport[] }>();
    expect(items[0]?.deployed[0]?.name).to.equal('voice.say');
    await rm(file);
  });

  it('undeploys what was deleted, renamed, or taken out of its file', async () => {
    await system.save(
      'pair.ts',
      `${says("'left'")}export class Other extends Service { handle() {} }\n`,
    );
    await until(() => system.service('pair.other'));
    await system.save('pair.ts', says("'left'"));
    await until(async () => (await system.service('pair.other')) === undefined);
    await system.rename('pair.ts', 'couple.ts');
    await until(() => system.service('couple.say'));
    await until(async () => (await system.service('pair.say')) === undefined);
    await system.remove('couple.ts');
    await until(async () => (await system.service('couple.say')) === undefined);
    await system.define('channel', channel('gone', 'couple.say'));
    const reply = await until(async () => {
      const answer = await (await system.get('/gone')).text();
      return answer.includes('couple.say') ? answer : undefined;
    });
    expect(reply).to.contain('No such service');
  });

  it('names both files that claim one service name, and keeps the first', async () => {
    const named = (text: string) =>
      says(text).replace('{ handle', "{ static serviceName = 'dup'; handle");
    await system.save('dup-a.ts', named("'a'"));
    await until(() => system.service('dup'));
    await system.save('dup-b.ts', named("'b'"));
    const failure = await until(() => failureOf('services/dup-b.ts'));
    expect(failure.message).to.contain('dup-a.ts').and.contain('dup-b.ts');
    expect((await system.service('dup'))?.file).to.equal('services/dup-a.ts');
  });

  it('takes 200 files at once', async () => {
    const before = (await system.services()).length;
    await Promise.all(
      Array.from({ length: 200 }, (_, at) => system.save(`many/s${at}.ts`, says(String(at)))),
    );
    await until(async () => (await system.services()).length === before + 200);
    await rm(join(system.dir, 'services', 'many'), { recursive: true });
    await until(async () => (await system.services()).length === before);
    await allSay('five');
  });
});

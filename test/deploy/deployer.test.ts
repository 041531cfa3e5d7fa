import { mkdir, rename, rm, symlink, unlink, utimes, writeFile } from 'node:fs/promises';
import { expect } from 'chai';
import { type Project, project, service, tempDir, until } from './project.ts';

describe('Deployer', () => {
  let running: Project;
  afterEach(() => running.stop());

  const unit = (file: string) => running.shelf.units.get(running.path(file));
  const code = (file: string) => unit(file)?.code ?? '';

  describe('at boot', () => {
    it('deploys all there is in one transaction, without a canary', async () => {
      running = await project({
        'services/a.ts': service('One'),
        'services/deep/b.js': service('Two'),
        'services/types.d.ts': 'export type A = 1;',
        'services/a.test.ts': service('Three'),
      });
      expect(running.names()).to.deep.equal(['a.one', 'b.two']);
      expect(running.shelf.canaries).to.deep.equal([]);
      expect(running.shelf.commits).to.have.length(1);
      const [first] = running.deployer.services();
      expect(first).to.include({ file: 'services/a.ts', version: 1 });
      expect(first?.hash).to.match(/^[0-9a-f]{12}$/);
      expect(first?.about).to.deep.equal({ className: 'One' });
    });

    it('takes what it compiled before from the cache, and compiles what is damaged', async () => {
      const dir = await tempDir();
      const files = { 'services/a.ts': service('One'), 'services/b.ts': service('Two') };
      running = await project(files, { dir });
      const before = code('services/a.ts');
      await running.stop();
      running = await project({}, { dir });
      expect(code('services/a.ts')).to.equal(before);
      expect(running.names()).to.deep.equal(['a.one', 'b.two']);
      await running.stop();
      await rm(dir, { recursive: true });
    });

    it('deploys the good files and says what is wrong with the others', async () => {
      running = await project({
        'services/a.ts': service('One'),
        'services/b.ts': 'export class {',
      });
      expect(running.names()).to.deep.equal(['a.one']);
      expect(running.deployer.failures().get('services/b.ts')).to.include({
        kind: 'compile',
        line: 1,
      });
    });
  });

  describe('when a file is saved', () => {
    it('in place, deploys the next version', async () => {
      running = await project({ 'services/a.ts': service('One') });
      await running.write('services/a.ts', service('One', "'two'"));
      const report = await running.next();
      expect(report.deployed).to.deep.equal([
        { name: 'a.one', file: 'services/a.ts', version: 2, hash: report.deployed[0]?.hash },
      ]);
      expect(report.ms).to.be.greaterThanOrEqual(0);
      expect(code('services/a.ts')).to.contain('"two"');
      expect(running.shelf.canaries).to.have.length(1);
      expect(running.log.lines.at(-1)).to.deep.include({
        level: 'info',
        message: 'service deployed',
      });
      const [live] = running.deployer.services();
      expect(live?.history.map((entry) => entry.version)).to.deep.equal([2, 1]);
    });

    it('with the same content, deploys nothing', async () => {
      running = await project({ 'services/a.ts': service('One') });
      await running.write('services/a.ts', service('One'));
      await running.write('services/b.ts', service('Two'));
      expect((await running.next()).deployed.map((one) => one.name)).to.deep.equal(['b.two']);
      expect(running.deployer.services()[0]?.version).to.equal(1);
    });

    it('by an atomic rename, deploys once', async () => {
      running = await project({ 'services/a.ts': service('One') });
      await running.write('services/.a.ts.tmp', service('One', "'two'"));
      await rename(running.path('services/.a.ts.tmp'), running.path('services/a.ts'));
      expect((await running.next()).deployed[0]).to.include({ name: 'a.one', version: 2 });
    });

    it('the way of vim, never undeploys', async () => {
      running = await project({ 'services/a.ts': service('One') });
      await rename(running.path('services/a.ts'), running.path('services/a.ts~'));
      await running.write('services/a.ts', service('One', "'two'"));
      await unlink(running.path('services/a.ts~'));
      const report = await running.next();
      expect(report.undeployed).to.deep.equal([]);
      expect(report.deployed[0]).to.include({ version: 2 });
    });

    it('one hundred times, ends with the last', async () => {
      running = await project({ 'services/a.ts': service('One') });
      for (let edit = 1; edit <= 100; edit++) {
        await running.write('services/a.ts', service('One', `'edit ${edit}'`));
      }
      await until(() => code('services/a.ts').includes('edit 100'));
      expect(running.reports.length).to.be.lessThan(20);
    });

    it('with an error, keeps the old version and shows the place', async () => {
      running = await project({ 'services/a.ts': service('One') });
      await running.write(
        'services/a.ts',
        "import { Service } from 'hence';\nconst ü = 'ä'; export clas A {}\n",
      );
      const report = await running.next();
      expect(report.deployed).to.deep.equal([]);
      expect(report.failures).to.have.length(1);
      const [failure] = report.failures;
      expect(failure).to.include({ file: 'services/a.ts', kind: 'compile', line: 2, column: 23 });
      expect(failure?.frame).to.equal(
        "  1 | import { Service } from 'hence';\n> 2 | const ü = 'ä'; export clas A {}\n    |                       ^\n  3 |",
      );
      expect(running.names()).to.deep.equal(['a.one']);
      expect(running.log.lines.at(-1)).to.deep.include({
        level: 'error',
        message: 'deploy failed',
      });
      await running.write('services/a.ts', service('One'));
      await until(() => running.deployer.failures().size === 0);
      expect(running.deployer.services()[0]?.version).to.equal(1);
    });

    it('and its constructor throws, keeps the old version and frames the worker’s answer', async () => {
      running = await project({ 'services/a.ts': service('One') });
      await running.write('services/a.ts', service('One', '"worker says constructor"'));
      const [failure] = (await running.next()).failures;
      expect(failure).to.include({ kind: 'constructor', file: 'services/a.ts', line: 2 });
      expect(failure?.frame).to.contain('> 2 | export class One');
      expect(running.deployer.services()[0]?.version).to.equal(1);
      expect(running.shelf.commits).to.have.length(1);
    });
  });

  describe('with a file that cannot be source', () => {
    for (const [what, bytes, words] of [
      ['empty', '', 'is empty'],
      ['only a byte order mark', '\uFEFF', 'is empty'],
      ['binary', Buffer.from([1, 0, 2]), 'binary'],
      ['not UTF-8', Buffer.from([0x61, 0xff]), 'UTF-8'],
      ['larger than 1 MB', `//${' '.repeat(1_048_576)}`, '1048576'],
    ] as const) {
      it(`${what}, keeps the old version and says so`, async () => {
        running = await project({ 'services/a.ts': service('One') });
        await running.write('services/a.ts', bytes);
        const [failure] = (await running.next()).failures;
        expect(failure?.kind).to.equal('read');
        expect(failure?.message).to.contain('services/a.ts').and.contain(words);
        expect(running.names()).to.deep.equal(['a.one']);
      });
    }

    it('accepts exactly 1 MB', async () => {
      running = await project({});
      await running.write('services/a.ts', service('One').padEnd(1_048_576, ' '));
      expect((await running.next()).deployed[0]?.name).to.equal('a.one');
    });

    it('accepts a byte order mark and CRLF', async () => {
      running = await project({});
      await running.write('services/a.ts', `\uFEFF${service('One').replaceAll('\n', '\r\n')}`);
      expect((await running.next()).deployed[0]?.name).to.equal('a.one');
    });
  });

  describe('when files come and go', () => {
    it('undeploys a deleted one', async () => {
      running = await project({ 'services/a.ts': service('One'), 'services/b.ts': service('Two') });
      await unlink(running.path('services/a.ts'));
      expect((await running.next()).undeployed).to.deep.equal(['a.one']);
      expect(running.names()).to.deep.equal(['b.two']);
      expect(running.shelf.commits.at(-1)?.transaction.removed).to.deep.equal([
        running.path('services/a.ts'),
      ]);
      expect([...running.shelf.roots.keys()]).to.deep.equal([running.path('services/b.ts')]);
    });

    it('serves a named service without a gap when its file is renamed', async () => {
      const text = service('One').replace('handle', 'static serviceName = "fixed";\n  handle');
      running = await project({ 'services/a.ts': text });
      await rename(running.path('services/a.ts'), running.path('services/z.ts'));
      const report = await running.next();
      expect(report.deployed[0]).to.include({ name: 'fixed', file: 'services/z.ts', version: 1 });
      expect(report.undeployed).to.deep.equal([]);
      expect(report.failures).to.deep.equal([]);
      expect(running.shelf.commits).to.have.length(2);
      expect(running.shelf.commits[1]?.transaction.undeploy).to.deep.equal([
        running.path('services/a.ts'),
      ]);
    });

    it('finds files made at once with their folders', async () => {
      running = await project({});
      await mkdir(running.path('services/x/y'), { recursive: true });
      await running.write('services/x/y/a.ts', service('One'));
      await running.write('services/x/b.ts', service('Two'));
      await until(() => running.names().length === 2);
    });

    it('undeploys what was in a removed folder', async () => {
      running = await project({
        'services/x/a.ts': service('One'),
        'services/x/b.ts': service('Two'),
      });
      await rm(running.path('services/x'), { recursive: true });
      await until(() => running.names().length === 0);
    });

    it('takes 200 files at once as one batch', async () => {
      running = await project({});
      await Promise.all(
        Array.from({ length: 200 }, (_, at) =>
          running.write(`services/s${at}.ts`, service('One', `${at}`)),
        ),
      );
      await until(() => running.names().length === 200);
      expect(running.reports.length).to.be.lessThanOrEqual(3);
    });

    it('ignores what editors and tools leave', async () => {
      running = await project({});
      for (const name of [
        '.a.ts',
        '#b.ts#',
        'c.ts~',
        '4913',
        'd.ts.swp',
        '.git/e.ts',
        'node_modules/f.ts',
      ]) {
        await running.write(`services/${name}`, service('Wrong'));
      }
      await running.write('services/ok.ts', service('Right'));
      await running.next();
      expect(running.names()).to.deep.equal(['ok.right']);
    });

    it('removes a class from the services when it is gone from its file, after a moment', async () => {
      running = await project({
        'services/a.ts': service('One') + service('Two').split('\n').slice(1).join('\n'),
      });
      expect(running.names()).to.deep.equal(['a.one', 'a.two']);
      const since = Date.now();
      await running.write('services/a.ts', service('One', "'still'"));
      const report = await running.next();
      expect(Date.now() - since).to.be.greaterThanOrEqual(300);
      expect(report.undeployed).to.deep.equal(['a.two']);
      expect(report.deployed.map((one) => one.name)).to.deep.equal(['a.one']);
    });

    it('never removes a class of a file that was saved in two parts', async () => {
      const whole = service('One', "'new'") + service('Two').split('\n').slice(1).join('\n');
      running = await project({ 'services/a.ts': whole.replaceAll('new', 'old') });
      await running.write('services/a.ts', service('One', "'new'"));
      await until(() => running.shelf.canaries.length === 1);
      await running.write('services/a.ts', whole);
      const report = await running.next();
      expect(report.undeployed).to.deep.equal([]);
      expect(report.deployed).to.have.length(2);
    });
  });

  describe('with links', () => {
    it('refuses one that leads out of the services folder', async () => {
      running = await project({ 'secret.ts': service('One') });
      await symlink(running.path('secret.ts'), running.path('services/a.ts'));
      const [failure] = (await running.next()).failures;
      expect(failure).to.include({ file: 'services/a.ts', kind: 'read' });
      expect(failure?.message).to.contain('leads out of the services folder');
      expect(running.names()).to.deep.equal([]);
    });

    it('follows one inside it, and notices when it leads elsewhere', async () => {
      running = await project({
        'services/.v1/a.ts': service('One'),
        'services/.v2/a.ts': service('One', '2'),
      });
      await symlink('.v1/a.ts', running.path('services/a.ts'));
      expect((await running.next()).deployed[0]).to.include({
        name: 'a.one',
        file: 'services/a.ts',
      });
      await symlink('.v2/a.ts', running.path('services/.next'));
      await rename(running.path('services/.next'), running.path('services/a.ts'));
      expect((await running.next()).deployed[0]).to.include({ version: 2 });
    });

    it('follows a swap of the folder that links lead through', async () => {
      running = await project({
        'services/..v1/a.ts': service('One'),
        'services/..v2/a.ts': service('One', '2'),
      });
      await symlink('..v1', running.path('services/..data'));
      await symlink('..data/a.ts', running.path('services/a.ts'));
      await running.next();
      await symlink('..v2', running.path('services/..tmp'));
      await rename(running.path('services/..tmp'), running.path('services/..data'));
      expect((await running.next()).deployed[0]).to.include({ name: 'a.one', version: 2 });
    });
  });

  describe('with helpers', () => {
    const helped = { 'lib/help.ts': 'export const help = 1;\n' };
    const user = (name: string) =>
      service(name, 'help', "import { help } from '../lib/help.js';\n");

    it('redeploys all users of an edited one, and sends only the helper', async () => {
      running = await project({
        ...helped,
        'services/a.ts': user('One'),
        'services/b.ts': user('Two'),
        'services/c.ts': service('Three'),
      });
      await running.write('lib/help.ts', 'export const help = 2;\n');
      const report = await running.next();
      expect(report.deployed.map((one) => one.name)).to.deep.equal(['a.one', 'b.two']);
      const { transaction } = running.shelf.commits.at(-1) ?? {};
      expect(transaction?.units.map((one) => one.file)).to.deep.equal(['lib/help.ts']);
      expect([...(transaction?.evaluate ?? [])].sort()).to.deep.equal(
        ['lib/help.ts', 'services/a.ts', 'services/b.ts'].map(running.path),
      );
    });

    it('redeploys through helpers of helpers and cycles', async () => {
      running = await project({
        'lib/x.ts': "import { y } from './y.ts';\nexport const x = () => y;\n",
        'lib/y.ts': "import { x } from './x.ts';\nexport const y = () => x;\n",
        'services/a.ts': service('One', 'x', "import { x } from '../lib/x.ts';\n"),
      });
      await running.write('lib/y.ts', "import { x } from './x.ts';\nexport const y = () => [x];\n");
      expect((await running.next()).deployed[0]).to.include({ name: 'a.one', version: 2 });
    });

    it('redeploys users of edited JSON, which is part of their code', async () => {
      running = await project({
        'services/data.json': '{"color": "red"}',
        'services/a.ts': service(
          'One',
          'data.color',
          "import data from './data.json' with { type: 'json' };\n",
        ),
      });
      expect(code('services/a.ts')).to.contain('red');
      await running.write('services/data.json', '{"color": "blue"}');
      expect((await running.next()).deployed[0]).to.include({ name: 'a.one', version: 2 });
      expect(code('services/a.ts')).to.contain('blue');
    });

    it('keeps the users when a helper breaks, and says it once', async () => {
      running = await project({
        ...helped,
        'services/a.ts': user('One'),
        'services/b.ts': user('Two'),
      });
      await running.write('lib/help.ts', 'export const help = ;\n');
      const report = await running.next();
      expect(report.failures).to.have.length(1);
      expect(report.failures[0]).to.include({ file: 'lib/help.ts', line: 1, column: 21 });
      expect([...running.deployer.failures().keys()]).to.deep.equal([
        'services/a.ts',
        'services/b.ts',
      ]);
      expect(running.names()).to.have.length(2);
    });

    it('names the place that takes what a helper does not give', async () => {
      running = await project({ ...helped, 'services/a.ts': user('One') });
      await running.write('lib/help.ts', 'export const other = 1;\n');
      const [failure] = (await running.next()).failures;
      expect(failure).to.include({ file: 'services/a.ts', kind: 'compile', line: 4 });
      expect(failure?.message).to.equal('lib/help.ts has no export named "help"');
      expect(failure?.frame).to.contain('> 4 |');
    });

    it('deploys a file when the helper it misses is made', async () => {
      running = await project({ ...helped });
      await running.write(
        'services/a.ts',
        service('One', 'x', "import { x } from '../lib/late';\n"),
      );
      const [failure] = (await running.next()).failures;
      expect(failure).to.include({ kind: 'import', line: 2 });
      expect(failure?.message).to.contain('"../lib/late" does not exist');
      await running.write('lib/late.ts', 'export const x = 1;\n');
      expect((await running.next()).deployed[0]).to.include({ name: 'a.one' });
    });

    it('fails the users when their helper is deleted, and keeps them serving', async () => {
      running = await project({ ...helped, 'services/a.ts': user('One') });
      await unlink(running.path('lib/help.ts'));
      expect((await running.next()).failures[0]).to.include({
        kind: 'import',
        file: 'services/a.ts',
      });
      expect(running.names()).to.deep.equal(['a.one']);
    });

    it('gives a starting worker old and new helpers as its elders have them', async () => {
      running = await project({
        ...helped,
        'services/a.ts': user('One'),
        'services/b.ts': user('Two'),
      });
      expect(running.deployer.bootTransactions()).to.have.length(1);
      await running.write(
        'services/a.ts',
        user('One').replace('return help', 'return [help, "worker says constructor"]'),
      );
      await running.next();
      await running.write('lib/help.ts', 'export const help = 2;\n');
      expect((await running.next()).deployed.map((one) => one.name)).to.deep.equal(['b.two']);
      const transactions = running.deployer.bootTransactions();
      expect(transactions.map((one) => one.roots.map((root) => root.file))).to.deep.equal([
        ['services/a.ts'],
        ['services/b.ts'],
      ]);
      const helpers = transactions.map((one) =>
        one.units.find((each) => each.file === 'lib/help.ts'),
      );
      expect(helpers[0]?.hash).not.to.equal(helpers[1]?.hash);
    });

    it('drops a helper nobody imports any more', async () => {
      running = await project({ ...helped, 'services/a.ts': user('One') });
      await running.write('services/a.ts', service('One'));
      await running.next();
      expect(running.shelf.commits.at(-1)?.transaction.removed).to.deep.equal([
        running.path('lib/help.ts'),
      ]);
    });

    it('takes a helper and its user that were saved together in one transaction', async () => {
      running = await project({ ...helped, 'services/a.ts': user('One') });
      await running.write('lib/help.ts', 'export const better = 2;\n');
      await running.write(
        'services/a.ts',
        user('One').replaceAll('help }', 'better }').replace('return help', 'return better'),
      );
      const report = await running.next();
      expect(report.failures).to.deep.equal([]);
      expect(report.deployed[0]).to.include({ version: 2 });
    });
  });

  describe('with one name claimed twice', () => {
    const named = service('One').replace('handle', 'static serviceName = "mine";\n  handle');

    it('keeps the first, names both, and deploys the second when the first goes', async () => {
      running = await project({ 'services/b.ts': named });
      await running.write('services/a.ts', named);
      const [failure] = (await running.next()).failures;
      expect(failure).to.include({ kind: 'conflict', file: 'services/a.ts' });
      expect(failure?.message).to.equal(
        'service name "mine" is claimed by services/b.ts and services/a.ts: services/b.ts keeps it',
      );
      expect(running.deployer.services()[0]?.file).to.equal('services/b.ts');
      await unlink(running.path('services/b.ts'));
      const report = await running.next();
      expect(report.deployed[0]).to.include({ name: 'mine', file: 'services/a.ts' });
      expect(report.undeployed).to.deep.equal([]);
      expect(running.deployer.failures().size).to.equal(0);
    });

    it('at boot, gives it to the first by path', async () => {
      running = await project({ 'services/b.ts': named, 'services/a.ts': named });
      expect(running.deployer.services().map((one) => one.file)).to.deep.equal(['services/a.ts']);
      expect(running.deployer.failures().get('services/b.ts')?.kind).to.equal('conflict');
    });
  });

  describe('with a file that hangs or kills its process', () => {
    for (const kind of ['timeout', 'exit']) {
      it(`(${kind}) deploys the others, and does not try it again until it changes`, async () => {
        running = await project({ 'lib/h.ts': 'export const h = 1;\n' });
        const head = "import { h } from '../lib/h.ts';\n";
        await running.write('lib/h.ts', 'export const h = 2;\n');
        await Promise.all([
          running.write('services/bad.ts', service('Bad', `[h, "worker says ${kind}"]`, head)),
          running.write('services/good.ts', service('Good', 'h', head)),
        ]);
        const report = await running.next();
        expect(report.failures[0]).to.include({ kind, file: 'services/bad.ts' });
        expect(report.deployed.map((one) => one.name)).to.deep.equal(['good.good']);
        expect(running.shelf.prepared.at(-1)?.roots.map((root) => root.file)).to.deep.equal([
          'services/good.ts',
        ]);
        const tried = running.shelf.canaries.length;
        await utimes(running.path('services/bad.ts'), new Date(), new Date());
        await running.write('services/good.ts', service('Good', '[h, 2]', head));
        await running.next();
        expect(
          running.shelf.canaries.slice(tried).flatMap((one) => one.roots.map((root) => root.file)),
        ).to.deep.equal(['services/good.ts']);
        await running.write('lib/h.ts', 'export const h = 3;\n');
        await running.next();
        expect(
          running.shelf.canaries
            .flatMap((one) => one.roots)
            .filter((root) => root.file === 'services/bad.ts'),
        ).to.have.length(2);
      });
    }

    it('does not try it at the next boot either', async () => {
      const dir = await tempDir();
      running = await project(
        { 'services/bad.ts': service('Bad', '"worker says timeout"') },
        { dir },
      );
      expect(running.deployer.failures().get('services/bad.ts')?.kind).to.equal('timeout');
      await running.stop();
      running = await project({}, { dir });
      expect(running.deployer.failures().get('services/bad.ts')?.kind).to.equal('quarantined');
      expect(running.shelf.prepared).to.deep.equal([]);
      await running.stop();
      await rm(dir, { recursive: true });
    });
  });

  describe('deployFile', () => {
    it('writes the file and answers when it serves', async () => {
      running = await project({});
      const report = await running.deployer.deployFile('a.ts', service('One'));
      expect(report.deployed[0]).to.include({ name: 'a.one', version: 1 });
      expect(running.names()).to.deep.equal(['a.one']);
      const again = await running.deployer.deployFile('a.ts', service('One'));
      expect(again.deployed[0]).to.include({ name: 'a.one', version: 1 });
      expect(again.failures).to.deep.equal([]);
    });

    it('answers with the failure, a second time too', async () => {
      running = await project({});
      const failure = { kind: 'compile', file: 'services/a.ts' };
      const report = await running.deployer.deployFile('a.ts', 'export class {');
      expect(report.failures[0]).to.include(failure);
      const again = await running.deployer.deployFile('a.ts', 'export class {');
      expect(again.failures[0]).to.include(failure);
    });

    it('with check, changes nothing', async () => {
      running = await project({ 'services/a.ts': service('One') });
      const good = await running.deployer.deployFile('a.ts', service('Two'), { check: true });
      expect(good.deployed[0]).to.include({ name: 'a.two', version: 2 });
      const bad = await running.deployer.deployFile(
        'b.ts',
        service('Two', '"worker says constructor"'),
        { check: true },
      );
      expect(bad.failures[0]?.kind).to.equal('constructor');
      expect(running.names()).to.deep.equal(['a.one']);
      expect(running.shelf.commits).to.have.length(1);
      expect(running.shelf.aborted).to.have.length(2);
      expect(running.reports).to.have.length(1);
      await running.write('services/c.ts', service('Three'));
      await running.next();
      expect(running.names()).to.deep.equal(['a.one', 'c.three']);
    });

    it('refuses names that are not plain service files, and text that cannot be one', async () => {
      running = await project({});
      for (const name of [
        '../a.ts',
        'A.ts',
        '.a.ts',
        'a.json',
        'a.d.ts',
        'a.test.ts',
        'x/a.ts',
        `${'a'.repeat(102)}.ts`,
        '',
      ]) {
        const error = await running.deployer
          .deployFile(name, service('One'))
          .catch((thrown: unknown) => thrown);
        expect(error, name).to.have.property('code', 'bad-request');
      }
      const empty = await running.deployer
        .deployFile('a.ts', ' ')
        .catch((thrown: unknown) => thrown);
      expect(empty).to.have.property('message', 'a.ts is empty');
      const report = await running.deployer.deployFile(`${'a'.repeat(101)}.ts`, service('One'));
      expect(report.deployed).to.have.length(1);
    });
  });

  it('says that packages need a restart when the manifest changes', async () => {
    running = await project({ 'package.json': '{}', 'services/a.ts': service('One') });
    await running.write('package.json', '{"type": "module"}');
    await until(() =>
      running.log.lines.some((line) => line.message === 'restart to pick up new package versions'),
    );
    await running.write('services/a.ts', service('One', '2'));
    expect((await running.next()).deployed).to.have.length(1);
  });

  it('tries again when the workers did not answer', async () => {
    running = await project({ 'services/a.ts': service('One') });
    running.shelf.broken = 'gone';
    await running.write('services/a.ts', service('One', '2'));
    expect((await running.next()).failures[0]?.message).to.equal(
      'the workers did not take services/a.ts: gone',
    );
    running.shelf.broken = undefined;
    expect((await running.next()).deployed[0]).to.include({ version: 2 });
  });

  it('finds changes by the sweep alone', async () => {
    running = await project({ 'services/a.ts': service('One') }, { watch: 'sweep', sweepMs: 30 });
    await running.write('services/a.ts', service('One', '2'));
    expect((await running.next()).deployed[0]).to.include({ version: 2 });
    await unlink(running.path('services/a.ts'));
    expect((await running.next()).undeployed).to.deep.equal(['a.one']);
  });

  it('finds changes by polling', async () => {
    running = await project(
      { 'services/a.ts': service('One') },
      { watch: 'poll', sweepMs: 60_000 },
    );
    await writeFile(running.path('services/a.ts'), service('One', '2'));
    expect((await running.next()).deployed[0]).to.include({ version: 2 });
  });
});

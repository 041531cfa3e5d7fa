import { execFile } from 'node:child_process';
import { access, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { expect } from 'chai';
import { root } from '../support/root.ts';

const run = promisify(execFile);

const service = `import { Fault, Service } from 'hence';

interface Greeting { readonly name: string }

export class Hello extends Service<Greeting, string> {
  static io = { input: { required: ['name'] } };

  async handle() {
    const { name } = this.request.input;
    if (name === '') throw new Fault('bad-request', 'Nobody to greet');
    return \`Hello \${name}\`;
  }
}
`;

describe('The package', () => {
  let project: string;
  let files: readonly string[];

  // Packed and unpacked as a registry would give it; its dependencies are linked, not downloaded.
  before(async function () {
    this.timeout(60_000);
    project = await mkdtemp(join(tmpdir(), 'hence-test-'));
    // Scripts are off, because the build is there already and `prepack` would do it again.
    const args = ['pack', '--ignore-scripts', '--json', '--pack-destination', project];
    const packed = await run('npm', args, { cwd: root, maxBuffer: 50_000_000 });
    const [tarball] = JSON.parse(packed.stdout) as [
      { filename: string; files: { path: string }[] },
    ];
    files = tarball.files.map(({ path }) => path);
    const home = join(project, 'node_modules/hence');
    await mkdir(home, { recursive: true });
    await run('tar', ['-xzf', join(project, tarball.filename), '-C', home, '--strip-components=1']);
    await symlink(join(root, 'node_modules'), join(home, 'node_modules'));
    await writeFile(join(project, 'package.json'), '{"type":"module"}');
    await writeFile(join(project, 'hello.ts'), service);
  });

  after(() => rm(project, { recursive: true, force: true }));

  async function typeErrors(file: string): Promise<string> {
    const options = ['--noEmit', '--strict', '--module', 'nodenext', '--target', 'es2023'];
    const roots = ['--types', 'node', '--typeRoots', join(root, 'node_modules/@types')];
    const tsc = join(root, 'node_modules/typescript/bin/tsc');
    const args = [tsc, ...options, ...roots, file];
    return await run(process.execPath, args, { cwd: project }).then(
      () => '',
      ({ stdout }: { stdout: string }) => stdout,
    );
  }

  it('has the API with its types, and the command', () => {
    for (const file of ['index', 'testing', 'control', 'worker']) {
      expect(files).to.include(`dist/runtime/${file}.js`);
      expect(files).to.include(`dist/runtime/${file}.d.ts`);
    }
    expect(files).to.include.members(['admin-cli/hence.mjs', 'dist/admin-cli/hence.js', 'LICENSE']);
  });

  it('has no test, no source, no source map and nothing private', () => {
    const strange = files.filter((file) => !/^(dist\/|admin-cli\/|examples\/|[^/]+$)/.test(file));
    expect(strange).to.deep.equal([]);
    const unwanted = /(^|\/)(test|\.hence|\.ci|coverage)\/|\.map$|(?<!\.d)\.ts$|\.built$/;
    expect(files.filter((file) => unwanted.test(file))).to.deep.equal([]);
  });

  // npm writes a lock without the binaries that a registry does not offer, and then refuses it: "EUSAGE, Missing".
  it('has every optional package of every platform in its lock file, so that npm ci works', async () => {
    const { packages } = JSON.parse(await readFile(join(root, 'package-lock.json'), 'utf8')) as {
      packages: Record<string, { optionalDependencies?: Record<string, string> }>;
    };
    const missing = Object.entries(packages).flatMap(([at, { optionalDependencies = {} }]) =>
      Object.keys(optionalDependencies)
        .map((name) => `node_modules/${name}`)
        .filter((path) => !(path in packages || `${at}/${path}` in packages)),
    );
    expect(missing).to.deep.equal([]);
  });

  it('has every file that its package.json names', async () => {
    const text = await readFile(join(root, 'package.json'), 'utf8');
    const named = text.match(/(?<=")\.\/[^"*]+\.[a-z.]+(?=")/g) ?? [];
    expect(named).not.to.be.empty;
    const home = join(project, 'node_modules/hence');
    await Promise.all(named.map((file) => access(join(home, file))));
  });

  it('gives a project that depends on it the class and its types', async function () {
    this.timeout(30_000);
    expect(await typeErrors('hello.ts')).to.equal('');
    await writeFile(join(project, 'wrong.ts'), service.replace('{ name }', '{ nome }'));
    expect(await typeErrors('wrong.ts')).to.contain("Property 'nome' does not exist");
  });

  it('is found by its own name from inside the repository', async () => {
    const script = "import('hence').then((hence) => console.log(typeof hence.Service))";
    const inside = await run(process.execPath, ['-e', script], { cwd: root });
    expect(inside.stdout).to.equal('function\n');
  });

  it('runs in a project that depends on it', async () => {
    const script = "import('hence').then((hence) => console.log(Object.keys(hence).sort().join()))";
    const outside = await run(process.execPath, ['-e', script], { cwd: project });
    expect(outside.stdout).to.equal('Fault,Model,Service,onUndeploy\n');
    const here = await import(pathToFileURL(join(root, 'dist/runtime/index.js')).href);
    expect(Object.keys(here).sort().join()).to.equal(outside.stdout.trim());
  });

  it('gives the command to a project that depends on it', async () => {
    const command = join(project, 'node_modules/hence/admin-cli/hence.mjs');
    const { version } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as {
      version: string;
    };
    const said = await run(process.execPath, [command, '--version'], { cwd: project });
    expect(said.stdout).to.contain(version);
  });
});

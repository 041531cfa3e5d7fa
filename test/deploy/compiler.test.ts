import { execFileSync } from 'node:child_process';
import { mkdir, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { SourceMap, type SourceMapPayload } from 'node:module';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { expect } from 'chai';
import { CompileCache } from '../../runtime/deploy/compile-cache.ts';
import { type Compilation, type Compiled, Compiler } from '../../runtime/deploy/compiler.ts';
import { sha256 } from '../../runtime/deploy/snapshot.ts';
import type { Reading } from '../../runtime/deploy/source.ts';
import type { DeployFailure } from '../../runtime/deploy/unit.ts';
import { tempDir } from './project.ts';

type Exports = Record<string, unknown>;

/** Runs a unit the way a worker does, with these modules. */
async function run(
  { unit }: Compiled,
  modules: Readonly<Record<string, unknown>> = {},
): Promise<Exports> {
  const free = ['require', 'module', 'exports', '__import', '__meta'];
  const module = { exports: {} as Exports };
  const load = (specifier: string) => {
    if (!(specifier in modules)) throw new Error(`no ${specifier}`);
    return modules[specifier];
  };
  const args = [
    load,
    module,
    module.exports,
    async (specifier: string) => load(specifier),
    { url: 'the url' },
  ];
  const Async = (async () => {}).constructor as FunctionConstructor;
  const body = new (unit.format === 'async' ? Async : Function)(...free, unit.code);
  await body(...args);
  return module.exports;
}

describe('Compiler', () => {
  let dir: string;
  let compiler: Compiler;
  let cache: CompileCache;
  const path = (file: string) => join(dir, file);

  beforeEach(async () => {
    dir = await tempDir();
    await start();
  });
  afterEach(async () => {
    await compiler.stop();
    await rm(dir, { recursive: true });
  });

  async function start(): Promise<void> {
    cache = new CompileCache(path('.hence/cache'));
    compiler = new Compiler({ projectDir: dir, cache, identify: (real) => real });
    await compiler.start();
  }

  async function write(file: string, text: string): Promise<void> {
    await mkdir(dirname(path(file)), { recursive: true });
    await writeFile(path(file), text);
  }

  async function read(file: string): Promise<Reading> {
    const bytes = await readFile(file);
    return {
      source: {
        path: file,
        real: file,
        file: file.slice(dir.length + 1),
        bytes,
        hash: sha256(bytes),
      },
    };
  }

  async function compile(text: string, file = 'services/a.ts'): Promise<Compilation> {
    const bytes = Buffer.from(text);
    const source = { path: path(file), real: path(file), file, bytes, hash: sha256(bytes) };
    await mkdir(dirname(source.path), { recursive: true });
    return compiler.compile(source, read);
  }

  async function compiled(text: string, file?: string): Promise<Compiled> {
    const result = await compile(text, file);
    if ('failure' in result) throw new Error(JSON.stringify(result.failure));
    return result.compiled;
  }

  async function failed(text: string): Promise<DeployFailure> {
    const result = await compile(text);
    if ('compiled' in result) throw new Error('It compiled');
    return result.failure;
  }

  it('compiles the bytes it is given, without a file', async () => {
    const one = await compiled('export const a: number = 1;\nexport default class B {}\n');
    expect(one.unit).to.include({
      path: path('services/a.ts'),
      file: 'services/a.ts',
      format: 'cjs',
    });
    expect(one.unit.hash).to.equal(
      sha256('export const a: number = 1;\nexport default class B {}\n').slice(0, 12),
    );
    const exports = await run(one);
    expect(exports['a']).to.equal(1);
    expect(exports['default']).to.have.property('name', 'B');
  });

  it('keeps class names where a class names itself', async () => {
    const exports = await run(await compiled('export class Foo { static self = Foo; }'));
    expect(exports['Foo']).to.have.property('name', 'Foo');
  });

  it('leaves hence, builtins, packages and user code to the loader', async () => {
    await write('node_modules/pkg/package.json', '{"name": "pkg", "exports": "./main.js"}');
    await write('node_modules/pkg/main.js', 'export default 1');
    await write('lib/help.ts', 'export const help = 1;');
    const { unit } = await compiled(
      "import { Service } from 'hence';\nimport fs from 'fs';\nimport pkg from 'pkg';\n" +
        "import { help } from '../lib/help.js';\nexport const all = [Service, fs, pkg, help];\n",
    );
    expect(unit.imports).to.deep.equal([path('lib/help.ts')]);
    expect(unit.externals).to.deep.equal([
      { specifier: 'hence', resolved: 'hence' },
      { specifier: 'fs', resolved: 'node:fs' },
      { specifier: 'pkg', resolved: pathToFileURL(path('node_modules/pkg/main.js')).href },
    ]);
    expect(unit.code).to.contain(`require("${path('lib/help.ts')}")`);
  });

  it('reads the default export of a namespace also from .mts files', async () => {
    const one = await compiled(
      "import fs from 'node:fs';\nexport const a = fs;\n",
      'services/a.mts',
    );
    const namespace = { __esModule: true, default: 'the default' };
    expect((await run(one, { 'node:fs': namespace }))['a']).to.equal('the default');
  });

  it('makes import() and import.meta free names', async () => {
    await write('lib/late.ts', 'export const late = 1;');
    const one = await compiled(
      "export const url = import.meta.url;\nexport const load = () => import('../lib/late.ts');\nexport const any = (x: string) => import(x);\n",
    );
    expect(one.unit.imports).to.deep.equal([path('lib/late.ts')]);
    const exports = await run(one, { [path('lib/late.ts')]: { late: 1 } });
    expect(exports['url']).to.equal('the url');
    expect(await (exports['load'] as () => Promise<unknown>)()).to.deep.equal({ late: 1 });
    expect(
      await (exports['any'] as (x: string) => Promise<unknown>)(path('lib/late.ts')),
    ).to.deep.equal({ late: 1 });
  });

  it('takes file names of every kind', async () => {
    await write("lib/über 'x' (1) 😀.ts", 'export const help = 1;');
    const file = path("lib/über 'x' (1) 😀.ts");
    const one = await compiled(
      `import { help } from "../lib/über 'x' (1) 😀.ts";\nexport default help;\n`,
      'services/ä.ts',
    );
    expect(one.unit.imports).to.deep.equal([file]);
    expect(one.links.uses[0]).to.include({ path: file, name: 'help' });
    expect((await run(one, { [file]: { help: 1 } }))['default']).to.equal(1);
  });

  it('inlines JSON and text, and counts them in the hash', async () => {
    await write('services/data.json', '{"a": 1}');
    await write('services/query.sql', 'select 1');
    const text =
      "import data from './data.json';\nimport query from './query.sql';\nexport const all = [data.a, query];\n";
    const one = await compiled(text);
    expect((await run(one))['all']).to.deep.equal([1, 'select 1']);
    expect(one.inlined).to.deep.equal([path('services/data.json'), path('services/query.sql')]);
    await write('services/data.json', '{"a": 2}');
    const two = await compiled(text);
    expect((await run(two))['all']).to.deep.equal([2, 'select 1']);
    expect(two.unit.hash).not.to.equal(one.unit.hash);
  });

  it('shows an error of inlined JSON in the JSON file', async () => {
    await write('services/data.json', '{\n  "a": ?\n}');
    expect(await failed("import data from './data.json';\nexport default data;")).to.include({
      file: 'services/data.json',
      kind: 'compile',
      line: 2,
      column: 8,
    });
  });

  it('turns a file with a top-level await into an async body', async () => {
    await write('lib/help.ts', 'export const help = 1, other = 2; export default 3;');
    const one = await compiled(
      [
        "import fallback, { help as h } from '../lib/help.ts';",
        "import * as all from '../lib/help.ts';",
        "import 'node:fs';",
        "export * from '../lib/help.ts';",
        "export { other as renamed } from '../lib/help.ts';",
        'const waited = await Promise.resolve(7);',
        'export const sum = [h, fallback, all.other, waited];',
        'export default class Foo { where() { return new Error("here"); } }',
      ].join('\n'),
    );
    expect(one.unit.format).to.equal('async');
    const help = { __esModule: true, help: 1, other: 2, default: 3 };
    const exports = await run(one, { [path('lib/help.ts')]: help, 'node:fs': {} });
    expect(exports['sum']).to.deep.equal([1, 3, 2, 7]);
    expect(exports).to.include({ help: 1, other: 2, renamed: 2, __esModule: true });
    expect(exports['default']).to.have.property('name', 'Foo');
    const lines = one.unit.code.split('\n');
    const line = lines.findIndex((text) => text.includes('new Error'));
    const map = new SourceMap(JSON.parse(one.unit.map) as SourceMapPayload);
    const entry = map.findEntry(line, lines[line]?.indexOf('new Error') ?? 0);
    expect(entry).to.include({ originalLine: 7, originalSource: 'services/a.ts' });
  });

  it('compiles both kinds of decorators', async () => {
    const text =
      'const mark = (c: { marked?: boolean }, _?: unknown) => { c.marked = true; };\n@mark\nexport class A {}\n';
    expect((await run(await compiled(text)))['A']).to.have.property('marked', true);
    await write(
      'tsconfig.json',
      '{"compilerOptions": {"experimentalDecorators": true, "emitDecoratorMetadata": true}}',
    );
    await compiler.forgetProject();
    expect((await run(await compiled(text)))['A']).to.have.property('marked', true);
    expect(compiler.settings.wantsDecoratorMetadata).to.equal(true);
  });

  it('follows the paths of the tsconfig and links of workspaces', async () => {
    await write('tsconfig.json', '{"compilerOptions": {"paths": {"@lib/*": ["./lib/*"]}}}');
    await write('lib/help.ts', 'export const help = 1;');
    await write('packages/own/package.json', '{"name": "own", "exports": "./main.ts"}');
    await write('packages/own/main.ts', 'export const own = 1;');
    await mkdir(path('node_modules'));
    await symlink('../packages/own', path('node_modules/own'));
    await compiler.forgetProject();
    const { unit } = await compiled(
      "import { help } from '@lib/help';\nimport { own } from 'own';\nexport default [help, own];\n",
    );
    expect(unit.imports).to.deep.equal([path('lib/help.ts'), path('packages/own/main.ts')]);
  });

  it('counts lines and columns from 1, in characters', async () => {
    expect(await failed('\nconst ü = "ä"; let let;')).to.include({
      kind: 'compile',
      line: 2,
      column: 20,
    });
  });

  for (const [what, text, words] of [
    ['a missing file', "import { x } from './nope';\nx();", '"./nope" does not exist'],
    ['a missing package', "import { x } from 'nope';\nx();", 'package "nope" is not installed'],
    [
      'a file outside of the project',
      "import { x } from '../../../../../../etc/hosts';\nx;",
      'outside of the project',
    ],
    [
      'a part of hence that is not there',
      "import { x } from 'hence/core';\nx();",
      'not part of hence',
    ],
    ['a URL', "import { x } from 'https://example.com/x.js';\nx();", 'only files and packages can'],
    ['what is not code', "import x from './picture.png';\nx();", 'neither code, JSON nor text'],
  ] as const) {
    it(`refuses the import of ${what}`, async () => {
      await write('services/picture.png', 'x');
      const failure = await failed(text);
      expect(failure).to.include({ kind: 'import', file: 'services/a.ts', line: 1 });
      expect(failure.message).to.contain(words);
      expect(failure.frame).to.contain('> 1 | import');
    });
  }

  it('compiles again after its process was killed', async () => {
    await compiled('export const a = 1;');
    const children = execFileSync('ps', [
      '-o',
      'pid=,args=',
      '--ppid',
      String(process.pid),
    ]).toString();
    const pid = /^\s*(\d+) .*esbuild.*--ping/m.exec(children)?.[1];
    expect(pid).to.not.equal(undefined);
    process.kill(Number(pid), 'SIGKILL');
    const both = await Promise.all([
      compiled('export const a = 2;'),
      compiled('export const a = 3;'),
    ]);
    expect(both).to.have.length(2);
  });

  describe('with its cache', () => {
    const text = "import { help } from '../lib/help.js';\nexport default help;\n";
    beforeEach(() => write('lib/help.ts', 'export const help = 1;'));

    async function again(): Promise<number> {
      await compiler.stop();
      await start();
      await compiled(text);
      return compiler.builds;
    }

    it('does not compile the same twice', async () => {
      const first = await compiled(text);
      expect(compiler.builds).to.equal(1);
      expect(await again()).to.equal(0);
      expect(await compiled(text)).to.deep.equal(first);
    });

    it('compiles again when an import means something else', async () => {
      await compiled(text);
      await write('lib/help.js', 'export const help = 1;');
      expect(await again()).to.equal(1);
    });

    it('compiles again when the tsconfig changes', async () => {
      await compiled(text);
      await write('tsconfig.json', '{}');
      expect(await again()).to.equal(1);
    });

    it('ignores a damaged entry', async () => {
      await compiled(text);
      await cache.flush();
      const [name = ''] = await readdir(path('.hence/cache'));
      const entry = await readFile(path(`.hence/cache/${name}`), 'utf8');
      await write(`.hence/cache/${name}`, entry.replace('help = 1', 'help = 2').slice(0, -1));
      expect(await again()).to.equal(1);
    });
  });
});

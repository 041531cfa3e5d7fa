import { expect } from 'chai';
import { installSourceMaps, SourceMapStore } from '../../runtime/deploy/source-maps.ts';
import { DeployedProject } from './deployed-project.ts';

const thrower = (word: string, blank = '') => `import { Service } from 'hence';
${blank}
interface Shape {
  readonly word: string;
}

const shape: Shape = { word: '${word}' };

export class Thrower extends Service {
  static self = Thrower.name;

  async handle(): Promise<void> {
    await globalThis.gate;
    throw new TypeError(shape.word);
  }
}
`;

describe('Source maps', () => {
  const hook = Error.prepareStackTrace;
  let project: DeployedProject;
  let uninstall: () => void;

  beforeEach(async () => {
    project = await DeployedProject.create();
    uninstall = installSourceMaps(project.loader.sourceMaps);
  });

  afterEach(async () => {
    uninstall();
    Error.prepareStackTrace = hook;
    Reflect.deleteProperty(globalThis, 'gate');
    await project.stop();
  });

  async function stackOf(call: Promise<unknown>): Promise<string[]> {
    const error: unknown = await call.catch((thrown: unknown) => thrown);
    return error instanceof Error ? String(error.stack).split('\n') : [];
  }

  it('put stack traces on the lines of the author, under the names of the author', async () => {
    await project.deploy({ 'services/thrower.ts': thrower('oh') });

    const stack = await stackOf(project.call('thrower.thrower'));

    expect(stack.slice(0, 2)).to.deep.equal([
      'TypeError: oh',
      '    at Thrower.handle (services/thrower.ts:14:11)',
    ]);
  });

  it('hold for calls on older versions too', async () => {
    let open = (_: unknown): void => undefined;
    Object.assign(globalThis, { gate: new Promise((resolve) => (open = resolve)) });
    await project.deploy({ 'services/thrower.ts': thrower('old') });

    const old = stackOf(project.call('thrower.thrower'));
    for (let lines = 1; lines <= 7; lines++) {
      await project.deploy({ 'services/thrower.ts': thrower('new', '\n'.repeat(lines)) });
    }
    open('opened');

    expect((await old)[1]).to.equal('    at Thrower.handle (services/thrower.ts:14:11)');
    const stack = await stackOf(project.call('thrower.thrower'));
    expect(stack[1]).to.equal('    at Thrower.handle (services/thrower.ts:21:11)');
  });

  it('show helpers, top levels and file names of every kind', async () => {
    const { failures } = await project.deploy({
      "lib/it's (odd) and späte.ts":
        'export function fail(): never {\n  throw new Error("odd");\n}\n',
      'services/a.ts': `import { fail } from "../lib/it's (odd) and späte.ts";\n\nfail();\n`,
    });

    expect(failures).to.have.length(1);
    expect(failures[0]).to.include({ file: "lib/it's (odd) and späte.ts", line: 2, column: 9 });
  });

  it('say no more than the file where esbuild wrote the code', () => {
    const store = new SourceMapStore();
    const map = JSON.stringify({ version: 3, sources: ['a.ts'], names: [], mappings: ';;AAAA' });
    store.add('hence:///a.ts?v=1', { path: '/a.ts', file: 'a.ts', hash: '', map });

    expect(store.locate('hence:///a.ts?v=1', 1, 1)).to.equal(undefined);
    expect(store.locate('hence:///a.ts?v=1', 4, 1)).to.equal(undefined);
    expect(store.locate('hence:///a.ts?v=1', 6, 1)).to.include({ line: 1, column: 1 });
    expect(store.locate('hence:///absent.ts?v=1', 6, 1)).to.equal(undefined);
  });

  it('are kept while in use, and for the last 5 generations of a file', () => {
    const store = new SourceMapStore();
    const source = { path: '/a.ts', file: 'a.ts', hash: '', map: '{}' };
    const url = (version: number) => `hence:///a.ts?v=${version}`;
    for (let version = 1; version <= 8; version++) store.add(url(version), source);
    expect(store.size).to.equal(8);

    for (let version = 2; version <= 8; version++) store.retire(url(version));

    const kept = [1, 2, 3, 4, 5, 6, 7, 8].filter((version) => store.sourceOf(url(version)));
    expect(kept).to.deep.equal([1, 5, 6, 7, 8]);
  });

  it('leave errors without user code to the hook that was there before', () => {
    Error.prepareStackTrace = (error) => `mine: ${error.message}`;
    const close = installSourceMaps(new SourceMapStore());

    const { stack } = new Error('plain');
    close();

    expect(stack).to.equal('mine: plain');
  });

  it('put back what was there before, unless someone came later', () => {
    const before = Error.prepareStackTrace;
    const close = installSourceMaps(new SourceMapStore());
    const ours = Error.prepareStackTrace;
    close();
    expect(Error.prepareStackTrace).to.equal(before);

    const closeAgain = installSourceMaps(new SourceMapStore());
    const later = (error: Error) => error.message;
    Error.prepareStackTrace = later;
    closeAgain();
    expect(Error.prepareStackTrace).to.equal(later);
    expect(ours).not.to.equal(before);
  });

  it('head an error of Node as Node does', async () => {
    await project.deploy({
      'services/a.ts': `import { Service } from 'hence'; import { readFileSync } from 'node:fs';
        export class A extends Service { handle() { readFileSync(7.5); } }`,
    });

    const [head, ...frames] = await stackOf(project.call('a.a'));

    expect(head).to.match(/^TypeError \[ERR_INVALID_ARG_TYPE\]: The "path" argument/);
    expect(frames.some((frame) => frame === '    at A.handle (services/a.ts:2:53)')).to.equal(true);
  });

  it('never make things worse: a broken map leaves the lines as they are', async () => {
    const change = await project.change({ 'services/thrower.ts': thrower('oh') });
    const units = change.units.map((unit) => ({ ...unit, map: 'no map' }));
    await project.commit({ ...change, units });

    const stack = await stackOf(project.call('thrower.thrower'));

    expect(stack[0]).to.equal('TypeError: oh');
    expect(stack[1]).to.match(
      /Thrower\.handle \(hence:\/\/\/services\/thrower\.ts\?v=1:\d+:\d+\)$/,
    );
  });

  it('find no place in what is not an error', () => {
    const store = new SourceMapStore();
    const evil = {
      get stack(): string {
        throw new Error('evil');
      },
    };

    for (const thrown of [undefined, null, 'text', 7, {}, { stack: 7 }, evil]) {
      expect(store.placeOf(thrown)).to.equal(undefined);
    }
  });
});

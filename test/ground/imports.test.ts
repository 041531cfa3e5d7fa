import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir } from 'node:fs/promises';
import { join, sep } from 'node:path';
import { pathToFileURL } from 'node:url';
import { expect } from 'chai';
import { root } from '../support/root.ts';

/** Programs: to load them is to run them. */
const programs = [
  'runtime/control.js',
  'runtime/worker.js',
  'admin-cli/main.js',
  'admin-cli/bundle.js',
];

describe('Importing', () => {
  it('any file of ours has no effect: no output, no handle, no global, no listener', async function () {
    this.timeout(30_000);
    const files = await compiledFiles();
    expect(files.length).to.be.greaterThan(40);
    const { code, output } = await importAll(files);
    expect({ code, output }).to.deep.equal({ code: 0, output: 'imported' });
  });
});

async function compiledFiles(): Promise<string[]> {
  const tops = ['runtime', 'channels', 'outgoing', 'admin-cli'];
  const lists = await Promise.all(
    tops.map(async (top) => {
      const names = await readdir(join(root, 'dist', top), { recursive: true });
      return names.map((name) => `${top}/${name.split(sep).join('/')}`);
    }),
  );
  return lists
    .flat()
    .filter((name) => name.endsWith('.js') && !programs.includes(name))
    .filter((name) => !/^admin-cli\/hence[.-]/.test(name));
}

/** Loads all in one process, which must then end by itself. */
async function importAll(files: readonly string[]): Promise<{ code: number; output: string }> {
  const urls = files.map((file) => pathToFileURL(join(root, 'dist', file)).href);
  const script = `
    // tslib and zod, which are not ours, leave names that begin with "__".
    const names = () => Object.keys(globalThis).filter((name) => !name.startsWith('__')).join();
    const globals = names();
    const listeners = () => process.eventNames().map((name) => [name, process.listenerCount(name)]).join();
    const before = listeners();
    for (const url of ${JSON.stringify(urls)}) await import(url);
    if (names() !== globals) console.log('globals changed', globals, names());
    if (listeners() !== before) console.log('listeners changed', before, listeners());
    process.stdout.write('imported');`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], { cwd: root });
  const stuck = setTimeout(() => child.kill('SIGKILL'), 25_000);
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (bytes) => {
      output += bytes;
    });
  }
  const [code] = await once(child, 'close');
  clearTimeout(stuck);
  return { code, output };
}

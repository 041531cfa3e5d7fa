import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';
import { expect } from 'chai';
import { fileOf, stuckPlace } from '../../runtime/process/stuck-place.ts';

// In parts: Node would take the whole for this file's own.
const named = ['//#', 'sourceURL='].join(' ');
const helper = `new Function('again', 'for (;;) again();\\n${named}hence:///lib/h.ts?v=2')`;
const service = (code: string) =>
  `new Function('help', ${JSON.stringify(`\n${code}\n${named}hence:///services/a%20b.ts?v=1`)})`;

describe('stuckPlace', () => {
  const children: ChildProcess[] = [];

  /** A process that says `ready`, and at once runs this. */
  async function run(script: string): Promise<ChildProcess> {
    const child = spawn(
      process.execPath,
      ['--inspect-port=0', '-e', `fs.writeSync(1, 'ready'); ${script};`],
      { stdio: ['ignore', 'pipe', 'pipe'] },
    );
    children.push(child);
    if (child.stdout) await once(child.stdout, 'data');
    return child;
  }

  afterEach(async () => {
    for (const child of children.splice(0)) {
      const gone = child.exitCode ?? child.signalCode ?? once(child, 'exit');
      child.kill('SIGKILL');
      await gone;
    }
  });

  it('finds where a process loops, counted as stack frames count', async () => {
    const child = await run(`${service('let x = 1;\n  while (x);')}()`);
    const place = await stuckPlace(child, { output: new PassThrough() });
    expect(place).to.deep.equal({ url: 'hence:///services/a%20b.ts?v=1', line: 5, column: 3 });
    expect(place && fileOf(place)).to.equal('services/a b.ts');
  });

  it('names the innermost file of user code, not what that calls', async () => {
    const child = await run(
      `${service('help(() => {});')}(() => ${helper}(() => JSON.stringify(1)))`,
    );
    const place = await stuckPlace(child, { output: new PassThrough() });
    expect(place?.url).to.equal('hence:///lib/h.ts?v=2');
    expect(place?.line).to.equal(3);
  });

  it('passes on what the process prints, without the lines of the inspector', async () => {
    const child = await run(
      `${service('help(); for (;;);')}(() => fs.writeSync(2, 'it spins\\n'))`,
    );
    const output = new PassThrough();
    child.stderr?.pipe(output, { end: false });
    const place = await stuckPlace(child, { output });
    expect(place?.line).to.equal(4);
    child.kill('SIGKILL');
    if (child.stderr) await once(child.stderr, 'close');
    output.end();
    expect(await text(output)).to.equal('it spins\n');
  });

  for (const [what, script] of [
    ['one that runs no user code', 'setInterval(() => {}, 10)'],
    ['one that has nothing to do', 'setTimeout(() => {}, 60_000)'],
    ['one that is blocked', 'Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0)'],
  ] as const) {
    it(`finds nothing in ${what}, in time`, async () => {
      const child = await run(script);
      const at = performance.now();
      expect(await stuckPlace(child, { output: new PassThrough(), withinMs: 700 })).to.equal(
        undefined,
      );
      expect(performance.now() - at).to.be.below(1_000);
    });
  }

  it('finds nothing in a process that has ended, or ends meanwhile', async () => {
    const child = await run('for (;;);');
    const at = performance.now();
    const asked = stuckPlace(child, { output: new PassThrough() });
    child.kill('SIGKILL');
    expect(await asked).to.equal(undefined);
    expect(performance.now() - at).to.be.below(1_000);
    expect(await stuckPlace(child, { output: new PassThrough() })).to.equal(undefined);
  });
});

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { cp, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { root } from '../support/root.ts';

interface Step {
  readonly command: string;
  /** Lines that must come in this order; `…` stands for anything. */
  readonly expected: readonly string[];
}

/** The commands of the fenced `console` blocks, in order, each with the output printed below it. */
function stepsOf(markdown: string): readonly Step[] {
  return [...markdown.matchAll(/^```console\n([\s\S]*?)^```/gm)].flatMap(([, block = '']) =>
    block
      .replaceAll('\\\n', ' ')
      .split(/^\$ /m)
      .slice(1)
      .map((text) => {
        const [command = '', ...lines] = text.split('\n');
        return { command: command.trim(), expected: lines.filter((line) => line.trim() !== '') };
      }),
  );
}

function pythonOf(markdown: string): readonly string[] {
  return [...markdown.matchAll(/^```python\n([\s\S]*?)^```/gm)].map(([, block = '']) => block);
}

/** Commands that only look: what they show may take a moment to happen. */
const looking = /^(?:curl|npx hence (?:why|standin show|service list|message (?:queues|browse))) /;
const patienceMs = 10_000;

function missingLine(output: string, expected: readonly string[]): string | undefined {
  const lines = output.split('\n');
  let at = 0;
  for (const line of expected) {
    const escaped = line.trim().split('…').map(patternOf).join('.*');
    const found = lines.findIndex((each, index) => index >= at && new RegExp(escaped).test(each));
    if (found < 0) return line;
    at = found + 1;
  }
  return undefined;
}

function patternOf(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&').replaceAll(/\s+/g, '\\s+');
}

async function freePort(): Promise<number> {
  const server = net.createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as net.AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

/** A copy of what a fresh clone holds, with what is installed and built linked in. */
async function project(): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'hence-readme-'));
  for (const file of ['package.json', 'package-lock.json', 'hence.yaml', 'services']) {
    await cp(join(root, file), join(dir, file), { recursive: true });
  }
  for (const file of ['node_modules', 'admin-cli', 'dist']) {
    await symlink(join(root, file), join(dir, file));
  }
  return dir;
}

describe('README', () => {
  let dir: string;
  let env: NodeJS.ProcessEnv;
  let started: ChildProcess | undefined;
  let steps: readonly Step[];
  let programs: readonly string[];

  before(async () => {
    dir = await project();
    const [port, adminPort] = [await freePort(), await freePort()];
    const text = await readFile(join(root, 'README.md'), 'utf8');
    const here = text.replaceAll('11223', String(port)).replaceAll('11224', String(adminPort));
    steps = stepsOf(here);
    programs = pythonOf(here);
    const { REDIS_URL: _, ...own } = process.env;
    env = {
      ...own,
      HENCE_PORT: String(port),
      HENCE_ADMIN_PORT: String(adminPort),
      HENCE_WORKERS: '1',
      NO_COLOR: '1',
    };
  });

  after(async () => {
    if (started) {
      process.kill(-(started.pid ?? 0), 'SIGTERM');
      // Not 'exit': npm is gone at once, its output ends when the system has.
      await once(started, 'close');
    }
    await rm(dir, { recursive: true, force: true });
  });

  /** Starts what goes on running, and gives its output when all expected lines are there. */
  async function start({ command, expected }: Step): Promise<void> {
    const child = spawn('sh', ['-c', command], { cwd: dir, env, detached: true });
    started = child;
    let output = '';
    child.stdout.on('data', (chunk) => {
      output += chunk;
    });
    child.stderr.on('data', (chunk) => {
      output += chunk;
    });
    const deadline = Date.now() + 20_000;
    while (missingLine(output, expected) !== undefined) {
      if (Date.now() > deadline || child.exitCode !== null) {
        expect.fail(`${command}: no "${missingLine(output, expected)}" in\n${output}`);
      }
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  async function run(command: string): Promise<{ code: number | null; output: string }> {
    // As typed in a terminal, less the progress meter that curl shows when it is piped.
    const typed = command.replace(/^curl /, 'curl -s ');
    const child = spawn('sh', ['-c', `(${typed}) 2>&1`], { cwd: dir, env });
    let output = '';
    child.stdout.on('data', (chunk) => {
      output += chunk;
    });
    const [code] = await once(child, 'close');
    return { code, output };
  }

  /** A person is slower than a deploy or a delivery: who looks, looks again for a moment. */
  async function check({ command, expected }: Step): Promise<void> {
    const patience = looking.test(command) ? Date.now() + patienceMs : 0;
    for (;;) {
      const { code, output } = await run(command);
      const missing = missingLine(output, expected);
      if (missing === undefined) {
        if (expected.length === 0) expect(code, `${command}\n${output}`).to.equal(0);
        return;
      }
      if (Date.now() > patience) expect.fail(`${command}: no "${missing}" in\n${output}`);
    }
  }

  it('shows what its commands really print', async () => {
    expect(steps.length).to.be.greaterThan(15);
    for (const step of steps) {
      if (step.command === 'npm start') await start(step);
      else await check(step);
    }
  }).timeout(150_000);

  it('has a Python program that reads what it published', async function () {
    if ((await run("python3 -c 'import requests'")).code !== 0) {
      console.warn('      skipped: it takes python3 with the package requests');
      this.skip();
    }
    const [program = ''] = programs;
    await writeFile(join(dir, 'readme.py'), program);
    const { output } = await run('python3 readme.py');
    expect(output).to.match(/^5 \{'order_id': 12345\}$/m);
  });
});

import { spawn } from 'node:child_process';

/**
 * What the script sees of its machine; a test gives its own.
 * @typedef {{
 *   root: string, env: Record<string, string | undefined>, nodeVersion: string, uid: number,
 *   write: (text: string) => void, tty: boolean, policyFile: string,
 * }} Host
 */

/** A reason to stop, as lines for the terminal. */
export class Refusal extends Error {
  constructor(lines) {
    super(lines.join('\n'));
    this.lines = lines;
  }
}

/** One line for what took time. */
export async function step(host, name, work) {
  const started = Date.now();
  if (host.tty) host.write(`  … ${name}`);
  try {
    const facts = await work();
    const seconds = `${((Date.now() - started) / 1000).toFixed(1)} s`;
    host.write(
      `${host.tty ? '\r\x1b[2K' : ''}  ✔ ${name.padEnd(24)}${facts.padEnd(40)}${seconds.padStart(8)}\n`,
    );
  } catch (thrown) {
    if (host.tty) host.write('\r\x1b[2K');
    throw thrown;
  }
}

export function failed(name, sentence) {
  return `  ✖ ${name.padEnd(24)}${sentence}`;
}

export function run({ root, env }, command, args) {
  return new Promise((resolve) => {
    const child = spawn(command, args, { cwd: root, env, stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    const keep = (bytes) => {
      output += bytes;
    };
    child.stdout.on('data', keep);
    child.stderr.on('data', keep);
    child.on('error', (error) => resolve({ code: 127, output: `${output}${error.message}\n` }));
    child.on('close', (code) => resolve({ code, output }));
  });
}

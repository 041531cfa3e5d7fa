import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The command itself, as it ships. */
const henceFile = fileURLToPath(new URL('../../../../admin-cli/hence.mjs', import.meta.url));

export interface RunOptions {
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly input?: string;
}

export interface Outcome {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Nothing of the tester's own settings reaches the command. */
function cleanEnv(more: RunOptions['env']): NodeJS.ProcessEnv {
  const env: NodeJS.ProcessEnv = { ...process.env, ...more };
  for (const name of ['HENCE_URL', 'HENCE_TOKEN', 'HENCE_DIR', 'NO_COLOR', 'EDITOR', 'VISUAL']) {
    if (more?.[name] === undefined) delete env[name];
  }
  return env;
}

export function spawnHence(args: readonly string[], options: RunOptions = {}): ChildProcess {
  return spawn(process.execPath, [henceFile, ...args], {
    cwd: options.cwd ?? tmpdir(),
    env: cleanEnv(options.env),
    stdio: 'pipe',
  });
}

export async function runHence(
  args: readonly string[],
  options: RunOptions = {},
): Promise<Outcome> {
  const child = spawnHence(args, options);
  return outcomeOf(child, options.input);
}

/** Runs a command in a terminal of `script`; each answer is typed when its prompt has appeared. */
export async function runInTerminal(
  args: readonly string[],
  options: RunOptions & { readonly answers?: readonly (readonly [string, string])[] } = {},
): Promise<{ readonly code: number | null; readonly screen: string }> {
  const words = [process.execPath, henceFile, ...args];
  const line = words.map((word) => `'${word.replaceAll("'", `'\\''`)}'`).join(' ');
  const child = spawn('script', ['-qec', line, '/dev/null'], {
    cwd: options.cwd ?? tmpdir(),
    env: { ...cleanEnv(options.env), TERM: 'xterm', ...options.env },
    stdio: 'pipe',
  });
  let screen = '';
  const answers = [...(options.answers ?? [])];
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    screen += chunk;
    const [next] = answers;
    if (next === undefined || !screen.includes(next[0])) return;
    answers.shift();
    child.stdin.write(next[1]);
  });
  const [code] = await once(child, 'close');
  return { code: code as number | null, screen };
}

export async function outcomeOf(child: ChildProcess, input?: string): Promise<Outcome> {
  let stdout = '';
  let stderr = '';
  child.stdout?.setEncoding('utf8').on('data', (chunk: string) => {
    stdout += chunk;
  });
  child.stderr?.setEncoding('utf8').on('data', (chunk: string) => {
    stderr += chunk;
  });
  // A command that reads no input may be gone before this arrives.
  child.stdin?.on('error', () => {});
  child.stdin?.end(input);
  const [code] = await once(child, 'close');
  return { code: code as number | null, stdout, stderr };
}

/** Resolves once the text has come; rejects when the command ends without it. */
export async function until(child: ChildProcess, text: string): Promise<string> {
  let seen = '';
  return new Promise((resolve, reject) => {
    const look = (chunk: Buffer): void => {
      seen += String(chunk);
      if (seen.includes(text)) resolve(seen);
    };
    child.stdout?.on('data', look);
    child.stderr?.on('data', look);
    child.once('close', () => reject(new Error(`"${text}" never came: ${seen}`)));
  });
}

/** A folder of its own, removed afterwards. */
export async function inFolder<T>(work: (folder: string) => Promise<T>): Promise<T> {
  const folder = await mkdtemp(join(tmpdir(), 'hence-cli-'));
  try {
    return await work(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

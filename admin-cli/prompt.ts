import { createInterface } from 'node:readline/promises';
import { CliError } from './errors.ts';
import { exitCode } from './exit-code.ts';

function interrupted(): CliError {
  return new CliError(exitCode.interrupted, 'Interrupted');
}

/** One line from the person at the terminal. The question goes to stderr: stdout is for data. */
export async function ask(question: string): Promise<string> {
  const lines = createInterface({ input: process.stdin, output: process.stderr });
  try {
    return await new Promise<string>((resolve, reject) => {
      lines.once('SIGINT', () => reject(interrupted()));
      lines.once('close', () => reject(interrupted()));
      lines.question(question).then(resolve, reject);
    });
  } finally {
    lines.close();
  }
}

/** One line that is not shown while it is typed. */
export async function askSecret(question: string): Promise<string> {
  const { stdin, stderr } = process;
  // Before the question: who types at once must not be shown either.
  stdin.setRawMode(true);
  stderr.write(question);
  stdin.setEncoding('utf8');
  try {
    return await typedLine();
  } finally {
    stdin.setRawMode(false);
    stdin.pause();
    stderr.write('\n');
  }
}

/** Ctrl-C and Ctrl-D. */
const endKeys = ['\u0003', '\u0004'];

function typedLine(): Promise<string> {
  const { stdin } = process;
  return new Promise((resolve, reject) => {
    let typed = '';
    const end = (settle: () => void): void => {
      stdin.off('data', onData);
      settle();
    };
    const onData = (chunk: string): void => {
      // What follows the end of the line in one chunk was not asked for.
      const [line = '', ...rest] = chunk.split(/[\r\n]/);
      typed = [...line].reduce(withKey, typed);
      if (endKeys.some((key) => line.includes(key))) end(() => reject(interrupted()));
      else if (rest.length > 0) end(() => resolve(typed));
    };
    stdin.on('data', onData);
    stdin.resume();
  });
}

function withKey(typed: string, key: string): string {
  return key === '\u007f' || key === '\b' ? typed.slice(0, -1) : typed + key;
}

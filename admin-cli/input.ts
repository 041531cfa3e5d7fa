import { readFile } from 'node:fs/promises';
import { usage } from './errors.ts';

/** All of standard input. */
async function readStdin(): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of process.stdin) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

/** One secret from standard input, without the line end that `echo` adds. */
export async function readSecret(flag: string): Promise<string> {
  const secret = (await readStdin()).toString('utf8').replace(/\r?\n$/, '');
  if (secret === '') throw usage(`${flag}: standard input is empty`);
  return secret;
}

/** The bytes of a file, or of standard input for `-`. */
export async function readSource(path: string): Promise<Buffer> {
  if (path === '-') return await readStdin();
  try {
    return await readFile(path);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    const reason = code === 'ENOENT' ? 'no such file' : code;
    throw usage(`Cannot read ${path}: ${reason}`, { cause: error });
  }
}

/** The value of `-d`: JSON text, `@file`, or `-` for standard input. */
export async function readPayload(given: string): Promise<unknown> {
  const fromFile = given === '-' || given.startsWith('@');
  const source = given.startsWith('@') ? given.slice(1) : given;
  const text = fromFile ? (await readSource(source)).toString('utf8') : given;
  try {
    return JSON.parse(text);
  } catch (error) {
    const what = given === '-' ? 'Standard input' : fromFile ? source : '-d';
    throw usage(`${what} is not valid JSON: ${(error as Error).message}`, {
      fix: `-d '{"name": "value"}'`,
      cause: error,
    });
  }
}

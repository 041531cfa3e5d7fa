import { execFile } from 'node:child_process';
import { accessSync, constants, statSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';
import { Fault } from '../core/fault.ts';

/** BullMQ 6 and LMOVE-like commands need it. */
export const minimumVersion = '6.2';

const names = ['redis-server', 'valkey-server'] as const;

/** The first redis-server on this PATH, else the first valkey-server. */
export function findRedisBinary(path: string | undefined): string | undefined {
  const dirs = (path ?? '').split(delimiter).filter((dir) => dir !== '');
  return names.flatMap((name) => dirs.map((dir) => join(dir, name))).find(isProgram);
}

function isProgram(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return statSync(file).isFile();
  } catch {
    return false;
  }
}

/** Asks the program for its version; a Fault when it cannot run or is too old. */
export async function checkBinary(binary: string): Promise<string> {
  const said = await promisify(execFile)(binary, ['--version'], { timeout: 5_000 }).catch(
    (cause: unknown) => {
      throw new Fault('unavailable', `${binary} does not run: ${reasonOf(cause)}`, { cause });
    },
  );
  const version = /\bv=(\d+(?:\.\d+)*)/.exec(said.stdout)?.[1];
  if (version === undefined) {
    throw new Fault('unavailable', `${binary} is no Redis: it does not tell a version`);
  }
  if (!atLeast(version, minimumVersion)) {
    throw new Fault(
      'unavailable',
      `${binary} is version ${version}; at least ${minimumVersion} is needed`,
    );
  }
  return version;
}

function reasonOf(cause: unknown): string {
  if (!(cause instanceof Error)) return String(cause);
  return 'code' in cause && cause.code === 'ENOENT' ? 'no such program' : cause.message.trim();
}

/** Compares dotted numbers; a text without a number is less than any. */
export function atLeast(version: string, minimum: string): boolean {
  const actual = numbersOf(version);
  const wanted = numbersOf(minimum);
  if (actual.length === 0) return false;
  for (const [index, part] of wanted.entries()) {
    const own = actual[index] ?? 0;
    if (own !== part) return own > part;
  }
  return true;
}

function numbersOf(version: string): readonly number[] {
  const leading = /^\d+(?:\.\d+)*/.exec(version)?.[0];
  return leading === undefined ? [] : leading.split('.').map(Number);
}

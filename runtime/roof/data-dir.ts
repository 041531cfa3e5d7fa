import { existsSync, mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { Fault } from '../core/fault.ts';

/**
 * Makes the folder for all that is written, for its owner only.
 * @throws Fault `bad-request` naming it when that cannot be
 */
export function makeDataDir(dir: string): void {
  if (existsSync(dir)) return;
  try {
    // Not `recursive` at once: where a folder cannot be made, as in /proc, that never returns.
    const options = { recursive: !existsSync(dirname(dir)), mode: 0o700 };
    mkdirSync(dir, options);
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown';
    throw new Fault('bad-request', `Cannot make the folder ${dir} (${code})`, { cause: error });
  }
}

import { open, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { Fault } from '../core/fault.ts';
import { isServiceFile } from './file-kind.ts';
import { refusal } from './snapshot.ts';

const fileName = /^[a-z0-9][a-z0-9._-]{0,100}\.(?:ts|js|mjs)$/;

/** @throws Fault `bad-request` for a name that is not a service file's, or text that cannot be one. */
export function checkUpload(name: string, bytes: Buffer): void {
  if (!fileName.test(name) || !isServiceFile(name)) {
    throw new Fault(
      'bad-request',
      `Not a service file's name: ${JSON.stringify(name)}; it is lower-case letters, digits, ".", "_" or "-" and ends with .ts, .js or .mjs`,
    );
  }
  const reason = refusal(name, bytes);
  if (reason !== undefined) throw new Fault('bad-request', `${name} ${reason}`);
}

/** All of it or nothing, also when the power fails: written beside it, synced and renamed. */
export async function writeWhole(path: string, bytes: Buffer): Promise<void> {
  const temporary = join(dirname(path), `.${process.pid}-${Date.now()}.tmp`);
  try {
    const file = await open(temporary, 'wx', 0o644);
    try {
      await file.writeFile(bytes);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } finally {
    await rm(temporary, { force: true });
  }
}

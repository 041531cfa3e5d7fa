import { randomBytes } from 'node:crypto';
import { mkdir, open, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';

/** What the CLI needs to reach a running system. */
export interface TokenFile {
  readonly url: string;
  readonly token: string;
  readonly pid: number;
  /** ISO 8601. */
  readonly startedAt: string;
}

/** 256 random bits, as text. */
export function newToken(): string {
  return randomBytes(32).toString('base64url');
}

/** Writes `<dir>/admin.json`, readable by its owner only; it appears whole or not at all. Returns its path. */
export async function writeTokenFile(dir: string, content: TokenFile): Promise<string> {
  await mkdir(dir, { recursive: true, mode: 0o700 });
  const path = join(dir, 'admin.json');
  const draft = `${path}.${process.pid}.${randomBytes(4).toString('hex')}`;
  const file = await open(draft, 'wx', 0o600);
  try {
    await file.writeFile(`${JSON.stringify(content, null, 2)}\n`);
    await file.sync();
    await rename(draft, path);
  } finally {
    await file.close();
    await rm(draft, { force: true });
  }
  return path;
}

/** Removes `<dir>/admin.json` if it still is the one with this token, not that of a later start. */
export async function removeTokenFile(dir: string, token: string): Promise<void> {
  const path = join(dir, 'admin.json');
  const text = await readFile(path, 'utf8').catch(() => '');
  if (text.includes(JSON.stringify(token))) await rm(path, { force: true });
}

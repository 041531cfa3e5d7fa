import { createCipheriv, createDecipheriv, createHash, randomBytes } from 'node:crypto';
import { link, open, readFile, rm, stat } from 'node:fs/promises';
import { Fault } from '../core/fault.ts';

const algorithm = 'aes-256-gcm';
const keyBytes = 32;
const ivBytes = 12;
const tagBytes = 16;
const format = /^sealed:v1:([0-9a-f]{8}):([A-Za-z0-9+/]+={0,2})$/;

/** Encrypts secrets that must come back as text. A sealed value opens only under its own record's name. */
export class Sealer {
  readonly #key: Buffer;
  /** Tells keys apart without telling the key. */
  readonly keyId: string;

  /** @param key 32 bytes. */
  constructor(key: Uint8Array) {
    if (key.length !== keyBytes) {
      throw new Fault('bad-request', `A sealing key has ${keyBytes} bytes, not ${key.length}`);
    }
    this.#key = Buffer.from(key);
    this.keyId = createHash('sha256').update(key).digest('hex').slice(0, 8);
  }

  /** With the key of a file, made when absent. Refuses a file that others may read. */
  static async fromFile(path: string): Promise<Sealer> {
    await createKeyFile(path);
    await refuseSharedFile(path);
    const key = await readFile(path);
    if (key.length !== keyBytes) {
      throw new Fault(
        'bad-request',
        `The key file ${path} has ${key.length} bytes instead of ${keyBytes}: restore it, what was sealed with it cannot be read without`,
      );
    }
    return new Sealer(key);
  }

  /** Whether text looks like what `seal` makes, with whatever key. */
  isSealed(text: string): boolean {
    return format.test(text);
  }

  /** `sealed:v1:<key id>:<base64 of iv, tag and ciphertext>` */
  seal(recordName: string, text: string): string {
    const iv = randomBytes(ivBytes);
    const cipher = createCipheriv(algorithm, this.#key, iv).setAAD(Buffer.from(recordName));
    const sealed = Buffer.concat([cipher.update(text, 'utf8'), cipher.final()]);
    const packed = Buffer.concat([iv, cipher.getAuthTag(), sealed]).toString('base64');
    return `sealed:v1:${this.keyId}:${packed}`;
  }

  /** @throws Fault `unavailable` naming the record when the text was not sealed for it with this key. */
  open(recordName: string, sealed: string): string {
    const match = format.exec(sealed);
    if (!match) throw new Fault('unavailable', `The secret of ${recordName} is not a sealed value`);
    if (match[1] !== this.keyId) {
      throw new Fault(
        'unavailable',
        `The secret of ${recordName} was sealed with key ${match[1]}, this system has key ${this.keyId}: give the secret again`,
      );
    }
    const packed = Buffer.from(match[2] ?? '', 'base64');
    try {
      const iv = packed.subarray(0, ivBytes);
      const decipher = createDecipheriv(algorithm, this.#key, iv, { authTagLength: tagBytes })
        .setAAD(Buffer.from(recordName))
        .setAuthTag(packed.subarray(ivBytes, ivBytes + tagBytes));
      const body = packed.subarray(ivBytes + tagBytes);
      return Buffer.concat([decipher.update(body), decipher.final()]).toString('utf8');
    } catch (error) {
      throw new Fault(
        'unavailable',
        `The secret of ${recordName} was changed or belongs elsewhere`,
        {
          cause: error,
        },
      );
    }
  }
}

/** A key file appears whole or not at all, even when several processes start at once. */
async function createKeyFile(path: string): Promise<void> {
  if (await exists(path)) return;
  const draft = `${path}.${process.pid}.${randomBytes(4).toString('hex')}`;
  const file = await open(draft, 'wx', 0o600);
  try {
    await file.writeFile(randomBytes(keyBytes));
    await file.sync();
    await link(draft, path);
  } catch (error) {
    if (codeOf(error) !== 'EEXIST') throw error;
  } finally {
    await file.close();
    await rm(draft, { force: true });
  }
}

async function refuseSharedFile(path: string): Promise<void> {
  const { mode } = await stat(path);
  if (process.platform === 'win32' || (mode & 0o077) === 0) return;
  throw new Fault(
    'bad-request',
    `The key file ${path} can be read by others (mode ${(mode & 0o777).toString(8)}): run chmod 600 ${path}`,
  );
}

async function exists(path: string): Promise<boolean> {
  try {
    await stat(path);
    return true;
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return false;
    throw error;
  }
}

function codeOf(error: unknown): unknown {
  return error instanceof Error && 'code' in error ? error.code : undefined;
}

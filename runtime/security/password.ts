import { randomBytes, scrypt, timingSafeEqual } from 'node:crypto';
import { Fault } from '../core/fault.ts';

/** N = 2^15, r = 8, p = 3: one of OWASP's settings for scrypt. */
const cost = { ln: 15, r: 8, p: 3 } as const;
const saltBytes = 16;
const hashBytes = 32;
/** Hashing runs in libuv's pool: more at once would starve files and DNS. */
const maxRunning = 2;
const maxWaiting = 32;
const busyRetryMs = 1_000;

const format =
  /^\$scrypt\$ln=(1[4-7]),r=(8|16),p=([1-5])\$([A-Za-z0-9+/]{22,86})\$([A-Za-z0-9+/]{43,86})$/;

/** True for text that `PasswordHasher.hash` could have made. */
export function isPasswordHash(text: string): boolean {
  return format.test(text);
}

/** Hashes and checks passwords, two at a time; more than 32 waiting are refused. */
export class PasswordHasher {
  #running = 0;
  readonly #waiting: (() => void)[] = [];
  readonly #decoy = encode(Buffer.alloc(saltBytes, 1), Buffer.alloc(hashBytes, 1));

  /** `$scrypt$ln=15,r=8,p=3$<salt>$<hash>`, the last two in base64 without padding. */
  async hash(password: string): Promise<string> {
    const salt = randomBytes(saltBytes);
    return encode(salt, await this.#derive(password, { ...cost, salt, length: hashBytes }));
  }

  /** Whether the password is the one of `hash`. Without a hash it is false, after the same work. */
  async verify(password: string, hash: string | undefined): Promise<boolean> {
    const match = format.exec(hash ?? this.#decoy);
    if (!match) throw new Fault('internal', 'A stored password hash is not in the scrypt format');
    const expected = Buffer.from(match[5] ?? '', 'base64');
    const actual = await this.#derive(password, {
      ln: Number(match[1]),
      r: Number(match[2]),
      p: Number(match[3]),
      salt: Buffer.from(match[4] ?? '', 'base64'),
      length: expected.length,
    });
    return timingSafeEqual(actual, expected) && hash !== undefined;
  }

  async #derive(password: string, options: Derivation): Promise<Buffer> {
    await this.#enter();
    try {
      return await derive(password, options);
    } finally {
      this.#leave();
    }
  }

  async #enter(): Promise<void> {
    if (this.#running < maxRunning) {
      this.#running++;
      return;
    }
    if (this.#waiting.length >= maxWaiting) {
      throw new Fault('too-many', 'Too many passwords are being checked, try again', {
        retryAfterMs: busyRetryMs,
      });
    }
    // The place of the one that leaves passes on: `#running` stays.
    await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  #leave(): void {
    const next = this.#waiting.shift();
    if (next) next();
    else this.#running--;
  }
}

interface Derivation {
  readonly ln: number;
  readonly r: number;
  readonly p: number;
  readonly salt: Buffer;
  readonly length: number;
}

function derive(password: string, { ln, r, p, salt, length }: Derivation): Promise<Buffer> {
  const N = 2 ** ln;
  // 128 * N * r is what scrypt needs; Node refuses anything near its default of 32 MB.
  const options = { N, r, p, maxmem: 2 * 128 * N * r };
  return new Promise((resolve, reject) => {
    scrypt(password.normalize('NFC'), salt, length, options, (error, key) =>
      error ? reject(error) : resolve(key),
    );
  });
}

function encode(salt: Buffer, hash: Buffer): string {
  return `$scrypt$ln=${cost.ln},r=${cost.r},p=${cost.p}$${base64(salt)}$${base64(hash)}`;
}

function base64(bytes: Buffer): string {
  return bytes.toString('base64').replace(/=+$/, '');
}

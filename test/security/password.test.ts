import { scryptSync } from 'node:crypto';
import { expect } from 'chai';
import { isPasswordHash, PasswordHasher } from '../../runtime/security/password.ts';
import { rejection } from '../support/rejection.ts';

/** Cheap to check, for tests that hash many times. */
function lightHash(password: string): string {
  const salt = Buffer.alloc(16, 7);
  const options = { N: 2 ** 14, r: 8, p: 1, maxmem: 2 ** 26 };
  const hash = scryptSync(password, salt, 32, options);
  const text = (bytes: Buffer) => bytes.toString('base64').replace(/=+$/, '');
  return `$scrypt$ln=14,r=8,p=1$${text(salt)}$${text(hash)}`;
}

describe('PasswordHasher', () => {
  it('says how it hashed, with a new salt each time', async () => {
    const hasher = new PasswordHasher();
    const [one, two] = await Promise.all([hasher.hash('secret'), hasher.hash('secret')]);
    expect(one).to.match(/^\$scrypt\$ln=15,r=8,p=3\$[A-Za-z0-9+/]{22}\$[A-Za-z0-9+/]{43}$/);
    expect(one).not.to.equal(two);
    expect(one).to.satisfy(isPasswordHash);
    expect(await hasher.verify('secret', one)).to.equal(true);
    expect(await hasher.verify('Secret', one)).to.equal(false);
  });

  it('agrees with scrypt itself', async () => {
    expect(await new PasswordHasher().verify('p\u00e4ss', lightHash('p\u00e4ss'))).to.equal(true);
  });

  it('takes a letter and its accent for the letter with the accent', async () => {
    expect(await new PasswordHasher().verify('pa\u0308ss', lightHash('p\u00e4ss'))).to.equal(true);
  });

  it('hashes for an unknown user as well, and says no', async () => {
    const startedAt = performance.now();
    expect(await new PasswordHasher().verify('secret', undefined)).to.equal(false);
    expect(performance.now() - startedAt).to.be.above(20);
  });

  it('does not find its decoy\u2019s password', async () => {
    expect(await new PasswordHasher().verify('', undefined)).to.equal(false);
  });

  it('refuses settings that are too weak or too dear', () => {
    const hash = lightHash('x');
    expect(hash).to.satisfy(isPasswordHash);
    for (const [from, to] of [
      ['ln=14', 'ln=10'],
      ['ln=14', 'ln=20'],
      ['r=8', 'r=1024'],
      ['p=1', 'p=99'],
      ['$scrypt', '$argon2id'],
    ] as const) {
      expect(isPasswordHash(hash.replace(from, to)), to).to.equal(false);
    }
  });

  it('takes 34 at a time, two of them at once, and refuses the 35th', async () => {
    const hasher = new PasswordHasher();
    const hash = lightHash('secret');
    const taken = Array.from({ length: 34 }, () => hasher.verify('secret', hash));
    const refused = await rejection(hasher.verify('secret', hash));
    expect(refused).to.deep.include({ code: 'too-many', retryAfterMs: 1_000 });
    expect(new Set(await Promise.all(taken))).to.deep.equal(new Set([true]));
    expect(await hasher.verify('secret', hash)).to.equal(true);
  });

  it('keeps its places when a check fails', async () => {
    const hasher = new PasswordHasher();
    for (let n = 0; n < 3; n++) {
      expect(await rejection(hasher.verify('x', 'nonsense'))).to.have.property('code', 'internal');
    }
    const hash = lightHash('secret');
    const checks = [1, 2, 3].map(() => hasher.verify('secret', hash));
    expect(await Promise.all(checks)).to.deep.equal([true, true, true]);
  });
});

import { randomBytes } from 'node:crypto';
import { chmod, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { Sealer } from '../../runtime/security/sealer.ts';
import { rejection } from '../support/rejection.ts';

describe('Sealer', () => {
  const sealer = new Sealer(randomBytes(32));

  it('gives back what it sealed, any text', () => {
    for (const text of ['', 'secret', '\u0142\u{1f600}\0\r\n', 'x'.repeat(100_000)]) {
      expect(sealer.open('outgoing.pushover', sealer.seal('outgoing.pushover', text))).to.equal(
        text,
      );
    }
  });

  it('shows nothing of the text, and never the same twice', () => {
    const sealed = sealer.seal('a', 'secret');
    expect(sealed).to.match(new RegExp(`^sealed:v1:${sealer.keyId}:[A-Za-z0-9+/]+=*$`));
    expect(sealed).not.to.equal(sealer.seal('a', 'secret'));
    expect(Buffer.from(sealed.split(':')[3] ?? '', 'base64').toString()).not.to.include('secret');
  });

  it('knows a sealed value from a plain one', () => {
    expect(sealer.isSealed(sealer.seal('a', 'x'))).to.equal(true);
    for (const text of ['', 'x', 'sealed:', 'sealed:v2:00000000:AAAA', 'sealed:v1:0:AAAA']) {
      expect(sealer.isSealed(text), text).to.equal(false);
    }
  });

  it('opens nothing that was moved to another record', () => {
    expect(() => sealer.open('b', sealer.seal('a', 'secret'))).to.throw('The secret of b');
  });

  it('opens nothing that was changed in any byte', () => {
    const [, , , packed = ''] = sealer.seal('a', 'secret').split(':');
    const bytes = Buffer.from(packed, 'base64');
    for (let at = 0; at < bytes.length; at++) {
      const changed = Buffer.from(bytes);
      changed[at] = (changed[at] ?? 0) ^ 1;
      const text = `sealed:v1:${sealer.keyId}:${changed.toString('base64')}`;
      expect(() => sealer.open('a', text), `byte ${at}`).to.throw('The secret of a');
    }
    for (const length of [0, 5, 12, 20, 28]) {
      const cut = bytes.subarray(0, length).toString('base64') || 'AAAA';
      expect(() => sealer.open('a', `sealed:v1:${sealer.keyId}:${cut}`)).to.throw(
        'The secret of a',
      );
    }
  });

  it('says so when another key sealed it, or nobody did', () => {
    const other = new Sealer(randomBytes(32));
    expect(() => sealer.open('a', other.seal('a', 'x'))).to.throw(`sealed with key ${other.keyId}`);
    expect(() => sealer.open('a', 'plain')).to.throw('not a sealed value');
  });

  it('wants a key of 32 bytes', () => {
    expect(() => new Sealer(randomBytes(16))).to.throw('32 bytes, not 16');
  });

  describe('with a key file', () => {
    let folder: string;
    let path: string;
    beforeEach(async () => {
      folder = await mkdtemp(join(tmpdir(), 'hence-sealer-'));
      path = join(folder, 'key');
    });
    afterEach(() => rm(folder, { recursive: true }));

    it('makes it, for its owner only, and reads it again', async () => {
      const sealed = (await Sealer.fromFile(path)).seal('a', 'secret');
      const { mode, size } = await stat(path);
      expect([mode & 0o777, size]).to.deep.equal([0o600, 32]);
      expect((await Sealer.fromFile(path)).open('a', sealed)).to.equal('secret');
    });

    it('ends up with one key when many start at once', async () => {
      const sealers = await Promise.all(Array.from({ length: 8 }, () => Sealer.fromFile(path)));
      expect(new Set(sealers.map(({ keyId }) => keyId)).size).to.equal(1);
      expect(await readdir(folder)).to.deep.equal(['key']);
    });

    for (const mode of [0o644, 0o640, 0o604, 0o660]) {
      it(`refuses it with mode ${mode.toString(8)}`, async () => {
        await Sealer.fromFile(path);
        await chmod(path, mode);
        expect((await rejection(Sealer.fromFile(path))).message).to.include(`chmod 600 ${path}`);
      });
    }

    it('refuses one that was cut, and leaves it as it is', async () => {
      await writeFile(path, randomBytes(31), { mode: 0o600 });
      expect((await rejection(Sealer.fromFile(path))).message).to.include('31 bytes instead of 32');
      expect(await readFile(path)).to.have.length(31);
    });

    it('fails where it cannot write', async () => {
      const nowhere = join(folder, 'missing', 'key');
      expect(await rejection(Sealer.fromFile(nowhere))).to.have.property('code', 'ENOENT');
    });
  });
});

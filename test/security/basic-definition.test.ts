import { expect } from 'chai';
import type { DefinitionType } from '../../runtime/config/definition.ts';
import { Fault } from '../../runtime/core/fault.ts';
import { type BasicSpec, securityType } from '../../runtime/security/basic-definition.ts';
import { PasswordHasher } from '../../runtime/security/password.ts';

describe('Basic security definitions', () => {
  const hasher = new PasswordHasher();
  const basic = securityType(hasher);
  // The store takes it as it is, though the two rooms do not know each other.
  const type: DefinitionType<BasicSpec> = basic;
  const parse = (given: unknown) => type.schema.safeParse(given);
  const joe: BasicSpec = { type: 'basic', username: 'joe', password: 'secret' };
  let stored: BasicSpec;

  before(async () => {
    stored = await basic.seal('partner', joe, undefined);
  });

  it('store the hash and never the password', () => {
    expect(stored).to.have.keys('type', 'username', 'passwordHash');
    expect(JSON.stringify(stored)).not.to.include('secret');
  });

  it('keep the stored hash when the same password is applied again', async () => {
    expect(await basic.seal('partner', joe, stored)).to.deep.equal(stored);
    const other = await basic.seal('partner', { ...joe, password: 'other' }, stored);
    expect(other.passwordHash).not.to.equal(stored.passwordHash);
  });

  it('take back what they show', async () => {
    const shown = basic.show('partner', { ...stored, password: 'leak' });
    expect(shown).to.deep.equal(stored);
    expect(await basic.seal('partner', type.schema.parse(shown), stored)).to.deep.equal(stored);
    expect(await basic.seal('partner', type.schema.parse(shown), undefined)).to.deep.equal(stored);
  });

  it('let a password win over a hash, as when one key is edited', async () => {
    const edited = await basic.seal('partner', { ...stored, password: 'new' }, stored);
    expect(await hasher.verify('new', edited.passwordHash)).to.equal(true);
  });

  it('refuse what cannot be sent as Basic', () => {
    for (const given of [
      { username: 'joe' },
      { password: 'secret' },
      { username: '', password: 'secret' },
      { username: 'a:b', password: 'secret' },
      { username: 'a\nb', password: 'secret' },
      { username: 'x'.repeat(201), password: 'secret' },
      { username: 'joe', password: '' },
      { username: 'joe', password: 'a\0b' },
      { username: 'joe', password: 'x'.repeat(1_025) },
      { username: 'joe', password: '\u00e9'.repeat(513) },
      { username: 'joe', passwordHash: 'secret' },
      { username: 'joe', password: 'secret', realm: 'a"b' },
      { username: 'joe', password: 'secret', role: 'admin' },
      { type: 'bearer', username: 'joe', password: 'secret' },
    ]) {
      expect(parse(given).success, JSON.stringify(given)).to.equal(false);
    }
    for (const given of [
      { username: 'x'.repeat(200), password: 'y'.repeat(1_024) },
      { username: 'jo\u00e9', password: 'a:b', realm: 'Orders 1/2' },
    ]) {
      expect(parse(given).success, JSON.stringify(given)).to.equal(true);
    }
  });

  it('refuse the user name of another, and the name that means no security', () => {
    const others = new Map([['partner', stored]]);
    const code = (name: string, username: string): string | undefined => {
      try {
        basic.conflicts(name, { ...joe, username }, others);
        return undefined;
      } catch (error) {
        return `${Fault.from(error).code}: ${Fault.from(error).message}`;
      }
    };
    expect(code('new', 'joe')).to.match(/^conflict: .*new.*joe.*partner/);
    expect(code('partner', 'joe')).to.equal(undefined);
    expect(code('new', 'jim')).to.equal(undefined);
    expect(code('none', 'jim')).to.match(/^bad-request/);
  });
});

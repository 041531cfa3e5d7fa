import { expect } from 'chai';
import { CredentialCache } from '../../runtime/security/credential-cache.ts';

describe('CredentialCache', () => {
  it('forgets after 60 seconds', () => {
    let now = 0;
    const cache = new CredentialCache<string>({ now: () => now });
    const key = cache.keyOf('partner', 'joe\0secret');
    cache.add(key, 'joe');
    now = 59_999;
    expect(cache.get(key)).to.equal('joe');
    now = 60_000;
    expect(cache.get(key)).to.equal(undefined);
    expect(cache.size).to.equal(0);
  });

  it('keeps 10,000 and drops the oldest for one more', () => {
    const cache = new CredentialCache<number>();
    for (let n = 0; n < 10_000; n++) cache.add(`${n}`, n);
    expect([cache.size, cache.get('0')]).to.deep.equal([10_000, 0]);
    cache.add('one more', 1);
    expect([cache.size, cache.get('0'), cache.get('1')]).to.deep.equal([10_000, undefined, 1]);
  });

  it('knows credentials by definition, and not by what they say', () => {
    const cache = new CredentialCache<string>();
    const key = cache.keyOf('partner', 'joe\0secret');
    expect(key).to.equal(cache.keyOf('partner', 'joe\0secret'));
    expect(key).not.to.equal(cache.keyOf('other', 'joe\0secret'));
    expect(key).not.to.equal(cache.keyOf('partner', 'joe\0Secret'));
    expect(key).not.to.equal(new CredentialCache<string>().keyOf('partner', 'joe\0secret'));
    expect(key).not.to.include('secret');
  });

  it('is empty after it was cleared', () => {
    const cache = new CredentialCache<string>();
    cache.add('k', 'v');
    cache.clear();
    expect(cache.get('k')).to.equal(undefined);
  });
});

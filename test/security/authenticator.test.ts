import { expect } from 'chai';
import fc from 'fast-check';
import { Authenticator } from '../../runtime/security/authenticator.ts';
import { parseBasic } from '../../runtime/security/basic-credentials.ts';
import type { BasicSpec } from '../../runtime/security/basic-definition.ts';
import { PasswordHasher } from '../../runtime/security/password.ts';
import { rejection } from '../support/rejection.ts';

const basic = (text: string | Buffer) => `Basic ${Buffer.from(text).toString('base64')}`;

describe('parseBasic', () => {
  it('splits at the first colon', () => {
    expect(parseBasic(basic('joe:a:b'))).to.deep.equal({ username: 'joe', password: 'a:b' });
    expect(parseBasic(basic('joe:'))).to.deep.equal({ username: 'joe', password: '' });
  });

  it('reads UTF-8, and any spelling of the scheme', () => {
    const encoded = Buffer.from('jo\u00e9:\u0142').toString('base64');
    const parsed = { username: 'jo\u00e9', password: '\u0142' };
    expect(parseBasic(`bASIC   ${encoded}`)).to.deep.equal(parsed);
    expect(parseBasic(basic('joe\u0301:\u0142'))).to.deep.equal(parsed);
  });

  it('takes the longest user and password, and no longer ones', () => {
    const sized = (user: number, password: number) =>
      parseBasic(basic(`${'u'.repeat(user)}:${'p'.repeat(password)}`));
    expect(sized(200, 1_024)?.password).to.have.length(1_024);
    expect(sized(201, 10)).to.equal(undefined);
    expect(sized(10, 1_025)).to.equal(undefined);
    expect(sized(1, 100_000)).to.equal(undefined);
  });

  for (const header of [
    undefined,
    '',
    'Basic',
    'Basic ',
    'Basic =',
    'Basic am9lOnA',
    'Basic am9lOnA===',
    'Basic !!!!',
    'Basic am9lOnA= x',
    'Bearer am9lOnA=',
    'am9lOnA=',
    basic('joe'),
    basic(':secret'),
    basic('jo\0e:x'),
    basic('joe:x\n'),
    basic(Buffer.from([0x6a, 0xff, 0x3a, 0x78])),
  ]) {
    it(`does not take ${JSON.stringify(header)}`, () => {
      expect(parseBasic(header)).to.equal(undefined);
    });
  }

  it('never throws', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        parseBasic(text);
        parseBasic(`Basic ${text}`);
        parseBasic(basic(text));
      }),
      { numRuns: 300 },
    );
  });
});

describe('Authenticator', () => {
  const hasher = new PasswordHasher();
  let joe: BasicSpec;
  let jim: BasicSpec;

  before(async () => {
    const [one, two] = await Promise.all([hasher.hash('secret'), hasher.hash('other')]);
    joe = { type: 'basic', username: 'joe', passwordHash: one };
    jim = { type: 'basic', username: 'jim', passwordHash: two };
  });

  function knowing(...definitions: readonly (readonly [string, BasicSpec])[]): Authenticator {
    const authenticator = new Authenticator(hasher);
    authenticator.update(definitions.map(([name, spec]) => ({ name, spec })));
    return authenticator;
  }

  it('answers at once when it knows the credentials', async () => {
    const authenticator = knowing(['partner', joe]);
    const first = authenticator.authenticate('partner', basic('joe:secret'));
    expect(first).to.be.instanceOf(Promise);
    expect(await first).to.deep.equal({ name: 'partner' });
    expect(authenticator.authenticate('partner', basic('joe:secret'))).to.deep.equal({
      name: 'partner',
    });
  });

  it('refuses in the same words whatever is wrong, and does not remember it', async () => {
    const authenticator = knowing(['partner', joe], ['second', jim]);
    const refusals = new Set<string>();
    const refuse = async (name: string, header: string | undefined) => {
      const { code, message, details } = (await rejection(
        (async () => authenticator.authenticate(name, header))(),
      )) as Error & { code: string; details: unknown };
      refusals.add(JSON.stringify({ code, message, details }));
    };
    await refuse('partner', undefined);
    await refuse('partner', 'Basic nonsense');
    await refuse('partner', basic('joe:wrong'));
    await refuse('partner', basic('joe:wrong'));
    await refuse('partner', basic('nobody:secret'));
    // Right, but of another definition.
    await refuse('partner', basic('jim:other'));
    await refuse('nothing', basic('joe:secret'));
    expect([...refusals].map((text) => JSON.parse(text).code)).to.deep.equal(['unauthorized']);
  });

  it('spends as long on an unknown user as on a wrong password', async () => {
    const authenticator = knowing(['partner', joe]);
    const time = async (credentials: string) => {
      const startedAt = performance.now();
      await rejection((async () => authenticator.authenticate('partner', basic(credentials)))());
      return performance.now() - startedAt;
    };
    const wrong = await time('joe:wrong');
    const unknown = await time('nobody:wrong');
    expect(unknown).to.be.above(wrong / 4);
  });

  it('hashes once for a herd of first requests', async () => {
    const authenticator = knowing(['partner', joe]);
    // The hasher refuses more than 34 at a time.
    const answers = await Promise.all(
      Array.from({ length: 100 }, () => authenticator.authenticate('partner', basic('joe:secret'))),
    );
    expect(new Set(answers.map(({ name }) => name))).to.deep.equal(new Set(['partner']));
  });

  it('lets nobody in by what a change made wrong', async () => {
    const authenticator = knowing(['partner', joe]);
    await authenticator.authenticate('partner', basic('joe:secret'));
    authenticator.update([{ name: 'partner', spec: { ...joe, passwordHash: jim.passwordHash } }]);
    const refused = rejection(
      (async () => authenticator.authenticate('partner', basic('joe:secret')))(),
    );
    expect(await refused).to.have.property('code', 'unauthorized');
    expect(await authenticator.authenticate('partner', basic('joe:other'))).to.deep.equal({
      name: 'partner',
    });
    authenticator.update([]);
    expect(() => authenticator.authenticate('partner', basic('joe:other'))).to.throw(
      'Valid credentials are needed',
    );
  });

  it('finds the definition of a user by the user name', async () => {
    const authenticator = knowing(['partner', joe], ['second', jim]);
    const joes = { username: 'joe', password: 'secret' };
    const first = authenticator.identify(joes);
    expect(first).to.be.instanceOf(Promise);
    expect(await first).to.deep.equal({ name: 'partner' });
    expect(authenticator.identify(joes)).to.deep.equal({ name: 'partner' });
    // What one way found, the other knows.
    expect(authenticator.authenticate('partner', basic('joe:secret'))).to.deep.equal({
      name: 'partner',
    });
    expect(await authenticator.identify({ username: 'jim', password: 'other' })).to.deep.equal({
      name: 'second',
    });
    authenticator.update([{ name: 'renamed', spec: joe }]);
    expect(await authenticator.identify(joes)).to.deep.equal({ name: 'renamed' });
  });

  it('refuses unknown users as slowly as wrong passwords, and hashes once for a herd of them', async () => {
    const authenticator = knowing(['partner', joe]);
    const time = async (username: string) => {
      const startedAt = performance.now();
      const herd = Array.from({ length: 100 }, () =>
        rejection((async () => authenticator.identify({ username, password: 'wrong' }))()),
      );
      for (const refused of await Promise.all(herd)) {
        expect(refused).to.have.property('code', 'unauthorized');
      }
      return performance.now() - startedAt;
    };
    const wrong = await time('joe');
    expect(await time('nobody')).to.be.above(wrong / 4);
    expect(await time('')).to.be.above(wrong / 4);
  });

  it('refuses who was right when a change came during the check', async () => {
    const authenticator = knowing(['partner', joe]);
    const check = (async () => authenticator.authenticate('partner', basic('joe:secret')))();
    authenticator.update([]);
    expect(await rejection(check)).to.have.property('code', 'unauthorized');
  });

  it('stays quick for those it knows when definitions that are not theirs come', async () => {
    const authenticator = knowing(['partner', joe]);
    await authenticator.authenticate('partner', basic('joe:secret'));
    authenticator.update([
      { name: 'partner', spec: { ...joe, realm: 'New' } },
      { name: 'second', spec: jim },
    ]);
    expect(authenticator.authenticate('partner', basic('joe:secret'))).to.deep.equal({
      name: 'partner',
    });
    expect(authenticator.challenge('partner')).to.equal('Basic realm="New", charset="UTF-8"');
    expect(authenticator.challenge('second')).to.equal('Basic realm="Hence", charset="UTF-8"');
  });
});

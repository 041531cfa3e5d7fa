import { expect } from 'chai';
import { outgoingType } from '../../../outgoing/http/definition.ts';
import { headersOf } from '../../../outgoing/http/headers.ts';
import { secretsOf } from '../../../outgoing/http/secrets.ts';

const sealer = {
  seal: (_record: string, text: string) => `sealed:${text}`,
  open: (_record: string, sealed: string) => sealed.slice('sealed:'.length),
  isSealed: (text: string) => text.startsWith('sealed:'),
};

const specOf = (auth: object, headers = {}) =>
  outgoingType(sealer).schema.parse({ url: 'https://crm.example', auth, headers });

describe('the headers of an outgoing connection', () => {
  it('are those of the definition, and its credentials', () => {
    const options = { sealer, env: { KEY: 'key-of-env' } };
    const basic = specOf({ type: 'basic', username: 'ann', password: 'sealed:opened-word' });
    const pair = Buffer.from('ann:opened-word').toString('base64');
    expect(headersOf('crm', basic, options)).to.deep.equal({ authorization: `Basic ${pair}` });

    const header = specOf({ type: 'header', name: 'X-Key', value: '${env:KEY}' }, { 'X-A': '1' });
    expect(headersOf('crm', header, options)).to.deep.equal({ 'x-a': '1', 'x-key': 'key-of-env' });
  });

  it('name the variable that is not set', () => {
    const spec = specOf({ type: 'header', name: 'X-Key', value: '${env:KEY}' });
    expect(() => headersOf('crm', spec, { sealer })).to.throw('variable KEY is not set');
  });
});

describe('the secrets of an outgoing connection', () => {
  const env = { KEY: 'key-of-env', TENANT: 'tenant-of-env' };

  it('are its opened password, the Basic credentials, and every variable it uses', () => {
    const password = 'sealed:word-${env:KEY}';
    const basic = specOf(
      { type: 'basic', username: 'ann', password },
      { 'X-Tenant': 'of ${env:TENANT}, ${env:KEY}', 'X-Plain': 'shown to all' },
    );
    expect(secretsOf('crm', basic, sealer, env)).to.have.members([
      'word-key-of-env',
      Buffer.from('ann:word-key-of-env').toString('base64'),
      'tenant-of-env',
      'key-of-env',
    ]);
  });

  it('are its opened value', () => {
    const header = specOf({ type: 'header', name: 'X-Key', value: 'sealed:opened-word' });
    expect(secretsOf('crm', header, sealer, env)).to.deep.equal(['opened-word']);
    const variable = specOf({ type: 'header', name: 'X-Key', value: '${env:KEY}' });
    expect(secretsOf('crm', variable, sealer, env)).to.deep.equal(['key-of-env']);
    expect(secretsOf('crm', specOf({ type: 'none' }), sealer, env)).to.deep.equal([]);
  });

  it('are without what cannot be opened and variables that are not set', () => {
    const closed = {
      ...sealer,
      open: () => {
        throw new Error('another key');
      },
    };
    const headers = { 'X-Tenant': '${env:TENANT}', 'X-Gone': '${env:GONE}' };
    const basic = specOf({ type: 'basic', username: 'ann', password: 'sealed:x' }, headers);
    expect(secretsOf('crm', basic, closed, env)).to.deep.equal(['tenant-of-env']);

    const unset = specOf({ type: 'header', name: 'X-Key', value: '${env:KEY} ${env:GONE}' });
    expect(secretsOf('crm', unset, sealer, env)).to.deep.equal(['key-of-env']);
  });
});

import { expect } from 'chai';
import { outgoingType } from '../../../outgoing/http/definition.ts';
import { headersOf } from '../../../outgoing/http/headers.ts';

const sealer = {
  seal: (_record: string, text: string) => `sealed:${text}`,
  open: (_record: string, sealed: string) => sealed.slice('sealed:'.length),
  isSealed: (text: string) => text.startsWith('sealed:'),
};

describe('the headers of an outgoing connection', () => {
  const specOf = (auth: object, headers = {}) =>
    outgoingType(sealer).schema.parse({ url: 'https://crm.example', auth, headers });

  it('tell every secret they open, so that the log can take it out', () => {
    const secrets: string[] = [];
    const options = {
      sealer,
      env: { KEY: 'key-of-env' },
      onSecret: (s: string) => secrets.push(s),
    };

    const basic = specOf({ type: 'basic', username: 'ann', password: 'sealed:opened-word' });
    const pair = Buffer.from('ann:opened-word').toString('base64');
    expect(headersOf('crm', basic, options)).to.deep.equal({ authorization: `Basic ${pair}` });
    expect(secrets.splice(0)).to.deep.equal(['opened-word', pair]);

    const header = specOf({ type: 'header', name: 'X-Key', value: '${env:KEY}' }, { 'X-A': '1' });
    expect(headersOf('crm', header, options)).to.deep.equal({ 'x-a': '1', 'x-key': 'key-of-env' });
    expect(secrets).to.deep.equal(['key-of-env']);
  });

  it('name the variable that is not set', () => {
    const spec = specOf({ type: 'header', name: 'X-Key', value: '${env:KEY}' });
    expect(() => headersOf('crm', spec, { sealer })).to.throw('variable KEY is not set');
  });
});

import { expect } from 'chai';
import { type OutgoingSpec, outgoingType } from '../../../outgoing/http/definition.ts';
import type { DefinitionType } from '../../../runtime/config/definition.ts';
import { rejection } from '../../support/rejection.ts';
import { env, sealer, spec } from '../fixture.ts';

const type = outgoingType(sealer);
const url = 'https://api.example.com';
const basic = { type: 'basic', username: 'ann', password: 'canary-secret' };

function problem(given: Record<string, unknown>): string {
  const parsed = type.schema.safeParse({ url, ...given });
  return parsed.success ? '' : parsed.error.issues.map(({ message }) => message).join('; ');
}

describe('The definition of an outgoing connection', () => {
  it('fits what the definition store takes', () => {
    const fits: DefinitionType<OutgoingSpec> = type;
    const fitsAny: DefinitionType = type;
    expect([fits.section, fitsAny.type]).to.deep.equal(['outgoing', 'outgoing']);
  });

  it('fills in every default from a URL alone', () => {
    expect(spec({ url })).to.deep.equal({
      type: 'http',
      url,
      path: '/',
      method: 'POST',
      dataFormat: 'json',
      auth: { type: 'none' },
      headers: {},
      timeout: '15s',
      connectTimeout: '5s',
      pool: 32,
      maxResponse: 1_048_576,
      retry: {
        attempts: 1,
        delay: '1s',
        maxDelay: '30s',
        on: ['connect', 'reset', 'timeout', '502', '503', '504'],
        methods: ['GET', 'HEAD', 'PUT', 'DELETE'],
      },
      breaker: { failures: 5, reset: '30s' },
      park: { enabled: true, fallback: '1m' },
      banGuard: { refusals: 0, within: '60s', pause: '5m' },
      mode: 'live',
      ping: { path: '/', method: 'HEAD' },
      enabled: true,
    });
  });

  it('takes its own output again', () => {
    const once = spec({ url, retry: { attempts: 3 }, auth: basic });
    expect(type.schema.parse(once)).to.deep.equal(once);
  });

  it('turns breaker, parking, retries and the ban guard off with "off"', () => {
    const off = spec({ url, breaker: 'off', park: 'off', retry: 'off', banGuard: false });
    expect(off.breaker.failures).to.equal(0);
    expect(off.park.enabled).to.equal(false);
    expect(off.retry.attempts).to.equal(1);
    expect(off.banGuard.refusals).to.equal(0);
  });

  const refused: [string, Record<string, unknown>][] = [
    ['a URL of another scheme', { url: 'ftp://example.com' }],
    ['a URL with a user', { url: 'https://ann:pw@example.com' }],
    ['a URL with a query', { url: 'https://example.com/?a=1' }],
    ['a URL with an empty query', { url: 'https://example.com/?' }],
    ['a URL with a fragment', { url: 'https://example.com/#x' }],
    ['something that is no URL', { url: 'example' }],
    ['a path without a slash', { path: 'x' }],
    ['a path with a query', { path: '/x?y=1' }],
    ['a path with an open brace', { path: '/x/{id' }],
    ['a path with an empty param', { path: '/x/{}' }],
    ['an unknown key', { timout: '5s' }],
    ['an unknown method', { method: 'TRACE' }],
    ['an unknown data format', { dataFormat: 'xml' }],
    ['a duration that is none', { timeout: 'soon' }],
    ['a timeout over ten minutes', { timeout: '601s' }],
    ['an empty pool', { pool: 0 }],
    ['a header of the connection itself', { headers: { Host: 'x' } }],
    ['a header with a line break', { headers: { 'x-a': 'b\r\nx-c: d' } }],
    ['a user name with a colon', { auth: { ...basic, username: 'a:b' } }],
    ['an unknown kind of auth', { auth: { type: 'magic' } }],
    ['eleven tries', { retry: { attempts: 11 } }],
    ['an unknown reason to retry', { retry: { on: ['mood'] } }],
    ['a stand-in with an impossible name', { standin: '../x' }],
    ['a ping with params', { ping: { path: '/{id}' } }],
  ];
  for (const [what, given] of refused) {
    it(`refuses ${what}`, () => {
      expect(problem(given)).not.to.equal('');
    });
  }

  it('takes a timeout of exactly ten minutes and ten tries', () => {
    expect(problem({ timeout: '10m', retry: { attempts: 10 } })).to.equal('');
  });
});

describe('The secrets of an outgoing connection', () => {
  const given = spec({ url, auth: basic });

  it('are sealed at rest and shown sealed, so that an export applies again', async () => {
    const stored = await type.seal('crm', given, undefined);
    const shown = type.show('crm', stored);
    expect(JSON.stringify([stored, shown])).not.to.contain('canary-secret');
    expect(await type.seal('crm', type.schema.parse(shown), stored)).to.deep.equal(stored);
    expect(await type.seal('crm', type.schema.parse(shown), undefined)).to.deep.equal(stored);
  });

  it('stay as they are stored when the same text is given again', async () => {
    const stored = await type.seal('crm', given, undefined);
    expect(await type.seal('crm', given, stored)).to.deep.equal(stored);
  });

  it('change when another text is given', async () => {
    const stored = await type.seal('crm', given, undefined);
    const next = await type.seal(
      'crm',
      spec({ url, auth: { ...basic, password: 'other' } }),
      stored,
    );
    expect(next.auth).not.to.deep.equal(stored.auth);
  });

  it('are kept where *** is given for them', async () => {
    const stored = await type.seal('crm', given, undefined);
    const hidden = spec({ url, auth: { ...basic, password: '***' } });
    expect(await type.seal('crm', hidden, stored)).to.deep.equal(stored);
    expect((await rejection(type.seal('crm', hidden, undefined))).message).to.contain('crm');
  });

  it('are refused when they were sealed for another connection', async () => {
    const stored = await type.seal('crm', given, undefined);
    const error = await rejection(type.seal('erp', stored, undefined));
    expect(error.message).to.equal(
      'outgoing/erp/password was sealed with another key: set it again',
    );
  });

  it('stay a reference when they name an environment variable', async () => {
    const named = spec({ url, auth: { type: 'header', name: 'X-Key', value: env('CRM_KEY') } });
    const stored = await type.seal('crm', named, undefined);
    expect(stored.auth).to.deep.equal(named.auth);
    expect(type.show('crm', stored)).to.deep.equal(stored);
  });

  it('are hidden where they somehow came unsealed', () => {
    expect(JSON.stringify(type.show('crm', given))).not.to.contain('canary-secret');
  });
});

import { expect } from 'chai';
import { type ChannelSpec, channelType } from '../../../channels/http/definition.ts';
import { Fault } from '../../../runtime/core/fault.ts';
import { channel, type Given } from './fixture.ts';

describe('Channel definitions', () => {
  const { schema, references, conflicts } = channelType();
  const problems = (given: Given): string[] => {
    const result = schema.safeParse({ path: '/x', service: 'a.b', ...given });
    return result.success ? [] : result.error.issues.map(({ message }) => message);
  };

  it('fill in what was not said', () => {
    expect(schema.parse({ path: '/notify', service: 'demo.notify' })).to.deep.equal({
      type: 'http',
      path: '/notify',
      matchSlash: false,
      method: 'any',
      service: 'demo.notify',
      security: 'none',
      dataFormat: 'json',
      timeout: '30s',
      maxBody: '1mb',
      headers: {},
      enabled: true,
    });
  });

  it('read back what they gave, unchanged', () => {
    const spec = schema.parse({
      path: '/x/{id}/',
      service: 'a.b',
      method: 'post',
      maxBody: '64KB',
      timeout: 250,
      headers: { 'X-One': '1' },
    });
    expect(spec.method).to.equal('POST');
    expect(schema.parse(spec)).to.deep.equal(spec);
  });

  it('refuse unknown keys', () => {
    expect(problems({ pth: '/y' })).to.have.length(1);
  });

  for (const path of [
    '/',
    '/a/b',
    '/a/',
    '/a/{id}',
    '/a/{id}/b/{_other2}',
    '/v1/users:batch',
    "/a(b)*c+d$e'f,g;h=i@j!k&l~m",
    '/caf\u00e9',
    '/a%20b',
    `/${'a'.repeat(1_023)}`,
  ]) {
    it(`take the path ${path.slice(0, 40)}`, () => expect(problems({ path })).to.deep.equal([]));
  }

  for (const [path, reason] of [
    ['', 'must start with'],
    ['a', 'must start with'],
    ['/a//b', 'empty segment'],
    ['/a/../b', 'cannot have the segment'],
    ['/a/%2e%2E', 'cannot have the segment'],
    ['/./a', 'cannot have the segment'],
    ['/a?b=c', 'cannot have'],
    ['/a#b', 'cannot have'],
    ['/a b', 'cannot have'],
    ['/a%2', 'cannot have'],
    ['/a\r\nb', 'cannot have'],
    ['/{}', 'whole segment'],
    ['/{1a}', 'whole segment'],
    ['/{a-b}', 'whole segment'],
    ['/x{a}', 'whole segment'],
    ['/{a}.json', 'whole segment'],
    ['/{a', 'whole segment'],
    ['/{a}/{a}', 'twice'],
    ['/{__proto__}', '__proto__'],
    [`/${'a'.repeat(1_024)}`, 'longer than 1024'],
  ] as const) {
    it(`refuse the path ${JSON.stringify(path.slice(0, 40))}`, () => {
      expect(problems({ path }).join()).to.include(reason);
    });
  }

  it('refuse sizes, times, methods, formats and names that are none', () => {
    for (const given of [
      { maxBody: 0 },
      { maxBody: '20.1mb' },
      { maxBody: 20 * 1_048_576 + 1 },
      { maxBody: '1 gb' },
      { timeout: '0s' },
      { timeout: '61m' },
      { timeout: 'soon' },
      { method: 'FETCH' },
      { dataFormat: 'xml' },
      { service: 'no spaces' },
      { service: '' },
      { security: '../x' },
      { type: 'websocket' },
      { enabled: 'yes' },
    ]) {
      expect(problems(given), JSON.stringify(given)).to.have.length(1);
    }
    for (const given of [
      { maxBody: '20mb' },
      { maxBody: 1 },
      { timeout: '1h' },
      { timeout: '1ms' },
      { method: 'Any' },
    ]) {
      expect(problems(given), JSON.stringify(given)).to.deep.equal([]);
    }
  });

  it('refuse headers that would split a reply, or are not for them to set', () => {
    for (const headers of [
      { 'X-A': 'b\r\nX-C: d' },
      { 'X-A\n': 'b' },
      { 'X A': 'b' },
      { 'X-A': 'caf\u0119' },
      { 'Content-Length': '1' },
      { 'transfer-encoding': 'chunked' },
      { Connection: 'close' },
      { 'X-Hence-CID': 'mine' },
      { 'X-A': '1', 'x-a': '2' },
    ]) {
      expect(problems({ headers }), JSON.stringify(headers)).to.have.length(1);
    }
    expect(problems({ headers: { 'Cache-Control': 'no-store', 'X-Tab': 'a\tb' } })).to.deep.equal(
      [],
    );
  });

  it('name the security definition they need', () => {
    expect(references?.(channel('a', { path: '/a' }).spec)).to.deep.equal([]);
    expect(references?.(channel('a', { path: '/a', security: 'partners' }).spec)).to.deep.equal([
      { type: 'security', name: 'partners' },
    ]);
  });

  describe('stand beside others', () => {
    const others = new Map<string, ChannelSpec>();
    const clash = (given: Given, name = 'new'): string => {
      try {
        conflicts?.(name, channel(name, given).spec, others);
        return '';
      } catch (error) {
        const fault = Fault.from(error);
        expect(fault.code).to.equal('conflict');
        return fault.message;
      }
    };
    before(() => {
      for (const [name, given] of Object.entries({
        exact: { path: '/exact', method: 'GET' },
        whole: { path: '/whole' },
        param: { path: '/p/{id}/x', method: 'POST' },
        span: { path: '/s/{rest}', matchSlash: true },
        asleep: { path: '/asleep', enabled: false },
        slashed: { path: '/slashed/' },
        accent: { path: '/caf\u00e9' },
      })) {
        others.set(name, channel(name, given).spec);
      }
    });

    for (const [given, other] of [
      [{ path: '/exact', method: 'GET' }, 'exact'],
      [{ path: '/exact' }, 'exact'],
      [{ path: '/whole', method: 'DELETE' }, 'whole'],
      [{ path: '/whole' }, 'whole'],
      [{ path: '/p/{other}/x', method: 'POST' }, 'param'],
      [{ path: '/p/{id}/x' }, 'param'],
      [{ path: '/s/{anything}', matchSlash: true, method: 'PUT' }, 'span'],
      [{ path: '/caf%c3%a9' }, 'accent'],
    ] as const) {
      it(`refuse ${JSON.stringify(given)} because of ${other}`, () => {
        expect(clash(given)).to.include('Channel new').and.include(`channel ${other} (`);
      });
    }

    for (const given of [
      { path: '/exact', method: 'POST' },
      { path: '/exact', method: 'HEAD' },
      { path: '/Exact' },
      { path: '/exact/' },
      { path: '/p/{id}/x', method: 'GET' },
      { path: '/p/{id}/y' },
      { path: '/p/{id}' },
      { path: '/p/1/x', method: 'POST' },
      { path: '/s/{rest}' },
      { path: '/asleep' },
      { path: '/slashed' },
      { path: '/exact', enabled: false },
    ]) {
      it(`take ${JSON.stringify(given)}`, () => expect(clash(given)).to.equal(''));
    }

    it('do not stand in their own way', () => {
      expect(clash({ path: '/whole', method: 'GET' }, 'whole')).to.equal('');
    });

    it('are compared with 10,000 others at once', () => {
      const many = new Map<string, ChannelSpec>();
      for (let n = 0; n < 10_000; n++) {
        many.set(`c${n}`, channel(`c${n}`, { path: n % 2 ? `/a/${n}` : `/a/{x}/${n}` }).spec);
      }
      const spec = channel('new', { path: '/a/{y}/none' }).spec;
      conflicts?.('new', spec, many);
      const startedAt = performance.now();
      conflicts?.('new', spec, many);
      expect(performance.now() - startedAt).to.be.below(50);
    });
  });
});

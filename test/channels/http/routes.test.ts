import { expect } from 'chai';
import fc from 'fast-check';
import { channelOf } from '../../../channels/http/channel.ts';
import { type Match, Routes } from '../../../channels/http/routes.ts';
import { channel, type Given } from './fixture.ts';

function routesOf(given: Readonly<Record<string, string | Given>>): Routes {
  const routes = new Routes();
  for (const [name, spec] of Object.entries(given)) {
    routes.set(channelOf(channel(name, typeof spec === 'string' ? { path: spec } : spec)));
  }
  return routes;
}

function found(match: Match | undefined): unknown {
  if (match === undefined) return undefined;
  return match.channel ? [match.channel.name, { ...match.params }] : match.allow;
}

describe('Routes', () => {
  it('prefer an exact path, then params, then params that span slashes', () => {
    const routes = routesOf({
      exact: '/a/b',
      param: '/a/{x}',
      span: { path: '/a/{rest}', matchSlash: true },
      all: { path: '/{rest}', matchSlash: true },
    });
    expect(found(routes.match('GET', '/a/b'))).to.deep.equal(['exact', {}]);
    expect(found(routes.match('GET', '/a/c'))).to.deep.equal(['param', { x: 'c' }]);
    expect(found(routes.match('GET', '/a/c/d'))).to.deep.equal(['span', { rest: 'c/d' }]);
    expect(found(routes.match('GET', '/z/c/d'))).to.deep.equal(['all', { rest: 'z/c/d' }]);
    expect(found(routes.match('GET', '/'))).to.equal(undefined);
  });

  it('go back to a param where the literal leads nowhere', () => {
    const routes = routesOf({ one: '/a/b/c', two: '/a/{x}/d', three: '/{y}/b/e' });
    expect(found(routes.match('GET', '/a/b/d'))).to.deep.equal(['two', { x: 'b' }]);
    expect(found(routes.match('GET', '/a/b/e'))).to.deep.equal(['three', { y: 'a' }]);
  });

  it('do not let a param take a slash, or nothing', () => {
    const routes = routesOf({ one: '/a/{x}/b' });
    expect(found(routes.match('GET', '/a/1/2/b'))).to.equal(undefined);
    expect(found(routes.match('GET', '/a//b'))).to.equal(undefined);
    expect(found(routes.match('GET', '/a/b'))).to.equal(undefined);
  });

  it('tell /x from /x/', () => {
    const routes = routesOf({
      without: '/x/{a}',
      with: '/y/{a}/',
      exact: '/z',
      span: { path: '/s/{a}/', matchSlash: true },
    });
    expect(found(routes.match('GET', '/x/1'))).to.deep.equal(['without', { a: '1' }]);
    expect(found(routes.match('GET', '/x/1/'))).to.equal(undefined);
    expect(found(routes.match('GET', '/y/1/'))).to.deep.equal(['with', { a: '1' }]);
    expect(found(routes.match('GET', '/y/1'))).to.equal(undefined);
    expect(found(routes.match('GET', '/z/'))).to.equal(undefined);
    expect(found(routes.match('GET', '/s/1/2/'))).to.deep.equal(['span', { a: '1/2' }]);
    expect(found(routes.match('GET', '/s/1/2'))).to.equal(undefined);
  });

  it('let several params span slashes: each as little as it can, the last the rest', () => {
    const routes = routesOf({
      one: { path: '/f/{a}/to/{b}', matchSlash: true },
      two: { path: '/f/{a}/to/{b}/end', matchSlash: true },
      three: { path: '/g/{a}/{b}/{c}', matchSlash: true },
    });
    const match = (path: string) => found(routes.match('GET', path));
    expect(match('/f/1/2/to/3/4')).to.deep.equal(['one', { a: '1/2', b: '3/4' }]);
    expect(match('/f/1/to/2/to/3')).to.deep.equal(['one', { a: '1', b: '2/to/3' }]);
    expect(match('/f/to/to/to')).to.deep.equal(['one', { a: 'to', b: 'to' }]);
    expect(match('/f/1/to/2/end')).to.deep.equal(['two', { a: '1', b: '2' }]);
    expect(match('/g/1/2/3/4/')).to.deep.equal(['three', { a: '1', b: '2', c: '3/4/' }]);
    expect(match('/g/1/2')).to.equal(undefined);
    expect(match('/f/to/1')).to.equal(undefined);
  });

  it('decode params after matching, so that %2F is no slash', () => {
    const routes = routesOf({ one: '/a/{x}', two: '/a/{x}/b' });
    expect(found(routes.match('GET', '/a/1%2Fb'))).to.deep.equal(['one', { x: '1/b' }]);
    expect(found(routes.match('GET', '/a/%C5%82%20%25/b'))).to.deep.equal(['two', { x: 'ł %' }]);
    expect(() => routes.match('GET', '/a/%C5')).to.throw(URIError);
    expect(() => routes.match('GET', '/a/%')).to.throw(URIError);
  });

  it('know a path however its escapes are spelled', () => {
    const routes = routesOf({ one: '/caf\u00e9', two: '/caf\u00e9/{x}', three: '/a%2fb' });
    expect(found(routes.match('GET', '/caf%c3%a9'))).to.deep.equal(['one', {}]);
    expect(found(routes.match('GET', '/caf%C3%a9/%c3%a9'))).to.deep.equal(['two', { x: 'é' }]);
    expect(found(routes.match('GET', '/a%2Fb'))).to.deep.equal(['three', {}]);
  });

  it('take what the router would read as a pattern for text', () => {
    const odd = ['*', '**', ':id', 'a:b', '(x)', 'a+', 'a*', '(.*)', '**:x', '$', ':a+', '...'];
    for (const text of odd) {
      const routes = routesOf({
        one: `/${text}/{p}`,
        two: { path: `/s/${text}/{q}`, matchSlash: true },
      });
      expect(found(routes.match('GET', `/${text}/1`)), text).to.deep.equal(['one', { p: '1' }]);
      expect(found(routes.match('GET', `/s/${text}/1/2`)), text).to.deep.equal([
        'two',
        { q: '1/2' },
      ]);
      expect(found(routes.match('GET', '/other/1')), text).to.equal(undefined);
      routes.remove('one');
      routes.remove('two');
      expect(found(routes.match('GET', `/${text}/1`)), text).to.equal(undefined);
    }
  });

  it('serve the names of object properties like any other', () => {
    const routes = routesOf({ one: '/__proto__/{constructor}', two: '/toString' });
    expect(found(routes.match('GET', '/__proto__/1'))).to.deep.equal(['one', { constructor: '1' }]);
    expect(found(routes.match('GET', '/toString'))).to.deep.equal(['two', {}]);
    expect(found(routes.match('GET', '/constructor'))).to.equal(undefined);
    expect(found(routes.match('GET', '/constructor/1'))).to.equal(undefined);
  });

  describe('with methods', () => {
    const routes = routesOf({
      get: { path: '/m', method: 'GET' },
      post: { path: '/m', method: 'POST' },
      any: '/any',
      put: { path: '/p/a', method: 'PUT' },
      del: { path: '/p/{x}', method: 'DELETE' },
      patch: { path: '/p/{x}', method: 'PATCH', matchSlash: true },
      head: { path: '/h', method: 'HEAD' },
      headGet: { path: '/h', method: 'GET' },
    });
    const match = (method: string, path: string) => found(routes.match(method, path));

    it('choose by method', () => {
      expect(match('GET', '/m')).to.deep.equal(['get', {}]);
      expect(match('POST', '/m')).to.deep.equal(['post', {}]);
      expect(match('PROPFIND', '/any')).to.deep.equal(['any', {}]);
    });

    it('name what is allowed, HEAD and OPTIONS too', () => {
      expect(match('PUT', '/m')).to.deep.equal(['GET', 'HEAD', 'OPTIONS', 'POST']);
      expect(match('OPTIONS', '/m')).to.deep.equal(['GET', 'HEAD', 'OPTIONS', 'POST']);
    });

    it('answer HEAD where GET is, unless HEAD has a channel of its own', () => {
      expect(match('HEAD', '/m')).to.deep.equal(['get', {}]);
      expect(match('HEAD', '/h')).to.deep.equal(['head', {}]);
    });

    it('look at less specific paths for the method', () => {
      expect(match('DELETE', '/p/a')).to.deep.equal(['del', { x: 'a' }]);
      expect(match('PATCH', '/p/a')).to.deep.equal(['patch', { x: 'a' }]);
      expect(match('PATCH', '/p/b')).to.deep.equal(['patch', { x: 'b' }]);
      expect(match('GET', '/p/a')).to.deep.equal(['DELETE', 'OPTIONS', 'PATCH', 'PUT']);
    });
  });

  it('change one channel without touching another of the same path', () => {
    const routes = routesOf({
      get: { path: '/m/{a}', method: 'GET' },
      post: { path: '/m/{b}', method: 'POST' },
    });
    routes.set(channelOf(channel('get', { path: '/n/{a}', method: 'GET' })));
    expect(found(routes.match('GET', '/m/1'))).to.deep.equal(['OPTIONS', 'POST']);
    expect(found(routes.match('GET', '/n/1'))).to.deep.equal(['get', { a: '1' }]);
    expect(found(routes.match('POST', '/m/1'))).to.deep.equal(['post', { b: '1' }]);
    routes.remove('post');
    expect(found(routes.match('POST', '/m/1'))).to.equal(undefined);
    routes.remove('post');
    expect(routes.size).to.equal(1);
  });

  it('do not lose a channel that took the place of one removed later', () => {
    const routes = routesOf({ old: '/x/{a}' });
    routes.set(channelOf(channel('new', { path: '/x/{b}' })));
    routes.remove('old');
    expect(found(routes.match('GET', '/x/1'))).to.deep.equal(['new', { b: '1' }]);
  });

  it('find what a plain comparison finds, through any changes', () => {
    const part = fc.constantFrom('a', 'b', 'a:b', '*', '{x}', '{y}');
    const path = fc
      .tuple(fc.uniqueArray(part, { maxLength: 4 }), fc.boolean())
      .map(([parts, slash]) => `/${parts.join('/')}${slash && parts.length > 0 ? '/' : ''}`);
    const change = fc.record({
      name: fc.constantFrom('c1', 'c2', 'c3', 'c4', 'c5', 'c6'),
      path: fc.option(path, { nil: undefined }),
      matchSlash: fc.boolean(),
    });
    const asked = fc
      .tuple(fc.array(fc.constantFrom('a', 'b', 'a:b', '*', 'c', '')), fc.boolean())
      .map(([parts, slash]) => `/${parts.slice(0, 6).join('/')}${slash ? '/' : ''}`);
    fc.assert(
      fc.property(fc.array(change, { maxLength: 12 }), fc.array(asked), (changes, paths) => {
        const { routes, plain } = built(changes);
        for (const at of paths) {
          const match = routes.match('GET', at);
          const takers = [...plain].filter(([, { pattern }]) => pattern.test(at));
          const names = takers.map(([name]) => name);
          expect(names.length > 0, `${at} of ${names}`).to.equal(match !== undefined);
          if (match?.channel) expect(names).to.include(match.channel.name);
        }
      }),
      { numRuns: 300 },
    );
  });

  it('stay fast with 10,000 channels, and change in under a millisecond', () => {
    const routes = new Routes();
    for (let n = 0; n < 10_000; n++) {
      const path = [`/e/${n}`, `/p/${n}/{x}`, `/{x}/q/${n}`, `/s/${n}/{x}`][n % 4] as string;
      routes.set(channelOf(channel(`c${n}`, { path, matchSlash: n % 4 === 3 })));
    }
    const perCall = (count: number, run: () => unknown): number => {
      for (let n = 0; n < count; n++) run();
      const startedAt = performance.now();
      for (let n = 0; n < count; n++) run();
      return (performance.now() - startedAt) / count;
    };
    expect(found(routes.match('GET', '/s/4003/a/b'))).to.deep.equal(['c4003', { x: 'a/b' }]);
    expect(perCall(2_000, () => routes.match('GET', '/e/4000'))).to.be.below(0.01);
    expect(perCall(2_000, () => routes.match('GET', '/p/4001/v'))).to.be.below(0.05);
    expect(perCall(2_000, () => routes.match('GET', '/v/q/4002'))).to.be.below(0.05);
    expect(perCall(2_000, () => routes.match('GET', '/s/4003/v'))).to.be.below(0.1);
    const one = channelOf(channel('c4001', { path: '/p/4001/{x}' }));
    const change = () => {
      routes.remove('c4001');
      routes.set(one);
    };
    expect(perCall(200, change)).to.be.below(2);
    expect(found(routes.match('GET', '/p/4001/v'))).to.deep.equal(['c4001', { x: 'v' }]);
  });
});

function regExpOf(path: string, matchSlash: boolean): RegExp {
  const parts = path.split('/').map((part) => {
    if (!part.startsWith('{')) return part.replace(/[*:]/g, '\\$&');
    return matchSlash ? '.+' : '[^/]+';
  });
  return new RegExp(`^${parts.join('/')}$`);
}

interface Plain {
  readonly shape: string;
  readonly pattern: RegExp;
}

interface Change {
  readonly name: string;
  readonly path: string | undefined;
  readonly matchSlash: boolean;
}

/** The same changes done to the routes, and to a list that is compared one by one. */
function built(changes: readonly Change[]): { routes: Routes; plain: Map<string, Plain> } {
  const routes = new Routes();
  const plain = new Map<string, Plain>();
  for (const { name, path, matchSlash } of changes) {
    if (path === undefined) {
      routes.remove(name);
      plain.delete(name);
      continue;
    }
    const shape = `${path.replaceAll(/\{.\}/g, '{}')}${path.includes('{') && matchSlash}`;
    // Two of one shape are refused before they come here.
    if ([...plain].some(([other, its]) => other !== name && its.shape === shape)) continue;
    routes.set(channelOf(channel(name, { path, matchSlash })));
    plain.set(name, { shape, pattern: regExpOf(path, matchSlash) });
  }
  return { routes, plain };
}

import { expect } from 'chai';
import { type AnyChannelSpec, channelType } from '../../../channels/channel-type.ts';
import { Fault } from '../../../runtime/core/fault.ts';

type Given = Record<string, unknown>;

describe('Definitions of WebSocket channels', () => {
  const { schema, references, conflicts } = channelType();
  const parse = (given: Given) => schema.parse({ type: 'websocket', path: '/ws', ...given });
  const problems = (given: Given): string[] => {
    const result = schema.safeParse({ type: 'websocket', path: '/ws', service: 'a.b', ...given });
    if (result.success) return [];
    return result.error.issues.map(({ path, message }) => `${path.join('.')}: ${message}`);
  };

  it('fill in what was not said', () => {
    expect(parse({ service: 'a.b' })).to.deep.equal({
      type: 'websocket',
      path: '/ws',
      service: 'a.b',
      gateway: false,
      security: 'none',
      timeout: '30s',
      pingInterval: '45s',
      pingsMissed: 2,
      tokenTtl: '1h',
      loginTimeout: '5s',
      maxFrame: '1mb',
      maxConnections: 10_000,
      enabled: true,
    });
  });

  it('read back what they gave, unchanged', () => {
    const spec = parse({
      gateway: true,
      allow: ['a.*'],
      idle: '10m',
      hook: 'a.hook',
      security: 's',
    });
    expect(schema.parse(spec)).to.deep.equal(spec);
    expect(references?.(spec)).to.deep.equal([{ type: 'security', name: 's' }]);
    expect(references?.(parse({ service: 'a.b' }))).to.deep.equal([]);
  });

  it('leave HTTP channels as they are, with or without their type', () => {
    const http = { path: '/{a}', service: 'a.b', security: 's' };
    expect(schema.parse(http)).to.deep.equal(schema.parse({ ...http, type: 'http' }));
    expect(schema.parse(http)).to.include({ type: 'http', method: 'any', dataFormat: 'json' });
    expect(references?.(schema.parse(http))).to.deep.equal([{ type: 'security', name: 's' }]);
    const result = schema.safeParse({ path: '/a', service: 'a.b', gateway: true });
    expect(result.error?.issues.map(({ message }) => message)).to.deep.equal([
      'Unrecognized key: "gateway"',
    ]);
  });

  for (const [given, problem] of [
    [{ type: 'grpc' }, /^type: must be http or websocket$/],
    [{ path: 'ws' }, /^path: .* must start with "\/"$/],
    [{ path: '/a//b' }, /empty segment$/],
    [{ path: '/a/../b' }, /cannot have the segment/],
    [{ path: '/{id}' }, /cannot have {params}/],
    [{ path: '/a b' }, /a URL path cannot have$/],
    [{ path: `/${'a'.repeat(1_024)}` }, /longer than 1024/],
    [{ gateway: true }, /^service: either a service or gateway: true/],
    [{ service: undefined }, /^service: either a service or gateway: true/],
    [{ allow: ['a'] }, /^allow: only a gateway has it$/],
    [{ gateway: true, service: undefined, allow: ['a b'] }, /^allow\.0: must be a name/],
    [{ pingInterval: '2h' }, /^pingInterval: at most 1h/],
    [{ pingInterval: 'soon' }, /^pingInterval: Not a duration/],
    [{ pingsMissed: 0 }, /^pingsMissed: /],
    [{ tokenTtl: '366d' }, /^tokenTtl: at most 365d/],
    [{ loginTimeout: 0 }, /^loginTimeout: Not a duration/],
    [{ maxFrame: 127 }, /^maxFrame: Not a size/],
    [{ maxFrame: '21mb' }, /^maxFrame: Not a size/],
    [{ maxConnections: 0 }, /^maxConnections: /],
    [{ hook: '-' }, /^hook: 1-128 letters/],
    [{ method: 'GET' }, /^: Unrecognized key: "method"$/],
  ] as const) {
    it(`refuse ${JSON.stringify(given).slice(0, 60)}`, () => {
      const found = problems(given);
      expect(found).to.have.length(1);
      expect(found[0]).to.match(problem);
    });
  }

  it('take the sizes and times at the edges', () => {
    expect(problems({ maxFrame: '128b', pingInterval: '1h', tokenTtl: '365d' })).to.deep.equal([]);
    expect(problems({ maxFrame: '20mb', idle: '1d', pingsMissed: 100 })).to.deep.equal([]);
  });

  describe('beside others', () => {
    const others = new Map<string, AnyChannelSpec>([
      ['socket', parse({ path: '/Ws/ż', service: 'a.b' })],
      ['off', parse({ path: '/off', service: 'a.b', enabled: false })],
      ['plain', schema.parse({ path: '/plain', service: 'a.b', method: 'GET' })],
      ['params', schema.parse({ path: '/items/{id}', service: 'a.b' })],
    ]);
    const conflict = (name: string, spec: AnyChannelSpec): string | undefined => {
      try {
        conflicts?.(name, spec, others);
        return undefined;
      } catch (error) {
        if (Fault.is(error) && error.code === 'conflict') return error.message;
        throw error;
      }
    };

    it('refuse a path that another has, of either type', () => {
      expect(conflict('two', parse({ path: '/Ws/%c5%bc', service: 'a.b' }))).to.equal(
        'Channel two: WebSocket clients at /Ws/%c5%bc are already served by channel socket',
      );
      expect(conflict('two', parse({ path: '/plain', service: 'a.b' }))).to.equal(
        'Channel two: /plain is the path of channel plain, of type http',
      );
      expect(conflict('two', schema.parse({ path: '/Ws/ż', service: 'a.b' }))).to.equal(
        'Channel two: /Ws/ż is the path of channel socket, of type websocket',
      );
      expect(conflict('two', schema.parse({ path: '/plain', service: 'a.b' }))).to.contain(
        'is already served by channel plain',
      );
    });

    it('allow what differs, is itself, or is switched off', () => {
      expect(conflict('socket', parse({ path: '/Ws/ż', service: 'c.d' }))).to.equal(undefined);
      expect(conflict('two', parse({ path: '/ws/ż', service: 'a.b' }))).to.equal(undefined);
      expect(conflict('two', parse({ path: '/off', service: 'a.b' }))).to.equal(undefined);
      expect(conflict('two', parse({ path: '/items/7', service: 'a.b' }))).to.equal(undefined);
      const off = parse({ path: '/plain', service: 'a.b', enabled: false });
      expect(conflict('two', off)).to.equal(undefined);
    });
  });
});

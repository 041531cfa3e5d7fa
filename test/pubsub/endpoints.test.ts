import { expect } from 'chai';
import { endpointType } from '../../runtime/pubsub/endpoint-definition.ts';
import { Endpoints } from '../../runtime/pubsub/endpoints.ts';
import { isIdOf, messageId, seqOf, zato3Id } from '../../runtime/pubsub/message-id.ts';
import { compilePattern } from '../../runtime/pubsub/topic-pattern.ts';
import { endpointSpec } from '../support/parties.ts';

const { schema, name, references, uniques } = endpointType();

const problems = (spec: unknown) =>
  schema.safeParse(spec).error?.issues.map(({ path, message }) => `${path.join('.')}: ${message}`);

describe('Endpoint definitions', () => {
  it('have a role for both, no security and no patterns by default', () => {
    expect(schema.parse({})).to.deep.equal({ role: 'pub-sub', publish: [], subscribe: [] });
  });

  it('keep patterns in lower case, each once, in the order given', () => {
    const publish = ['/zato/**', '/Orders/*', '/orders/*', '/a'];
    expect(schema.parse({ publish }).publish).to.deep.equal(['/zato/**', '/orders/*', '/a']);
  });

  it('refuse what is no pattern, no role or no key', () => {
    expect(problems({ publish: [''] })).to.deep.equal([
      'publish.0: A topic pattern cannot be empty',
    ]);
    expect(problems({ subscribe: ['/ż'] })?.[0]).to.contain('cannot have non-ASCII characters');
    expect(problems({ subscribe: ['/a#'] })?.[0]).to.contain('cannot contain "#"');
    expect(problems({ subscribe: ['x'.repeat(201)] })?.[0]).to.contain('at most 200 characters');
    expect(problems({ subscribe: ['x'.repeat(200)] })).to.equal(undefined);
    expect(problems({ role: 'both' })?.[0]).to.contain('role');
    expect(problems({ patterns: [] })?.[0]).to.contain('patterns');
  });

  it('refuse patterns that their role never uses', () => {
    expect(problems({ role: 'sub-only', publish: ['/a'] })).to.deep.equal([
      'publish: an endpoint that is sub-only has no patterns to publish',
    ]);
    expect(problems({ role: 'pub-only', subscribe: ['/a'] })).to.deep.equal([
      'subscribe: an endpoint that is pub-only has no patterns to subscribe',
    ]);
  });

  it('may be called as in Zato', () => {
    for (const good of ['My REST Endpoint', 'a', 'crm-1.x_y', 'x'.repeat(128)]) {
      expect(name(good)).to.equal(good);
    }
    for (const bad of ['', ' a', 'a ', '/a', 'a..b', 'ż', 'x'.repeat(129)]) {
      expect(() => name(bad)).to.throw('Not a name for an endpoint');
    }
  });

  it('name their security, which no two share', () => {
    const spec = endpointSpec({ security: 'crm' });
    expect(references(spec)).to.deep.equal([{ type: 'security', name: 'crm' }]);
    expect(uniques(spec)).to.deep.equal(['security crm']);
    expect(references(endpointSpec({}))).to.deep.equal([]);
    expect(uniques(endpointSpec({}))).to.deep.equal([]);
  });
});

describe('Endpoints', () => {
  const endpoints = new Endpoints();
  endpoints.update([
    {
      name: 'crm',
      spec: endpointSpec({
        security: 'crm.user',
        publish: ['/a/*', '/a/b', '/**/new'],
        subscribe: ['/x'],
      }),
    },
    { name: 'listener', spec: endpointSpec({ role: 'sub-only', subscribe: ['/**'] }) },
  ]);

  it('are found by their name and by their security', () => {
    expect(endpoints.get('crm')?.name).to.equal('crm');
    expect(endpoints.bySecurity('crm.user')?.name).to.equal('crm');
    expect(endpoints.get('crm.user')).to.equal(undefined);
    expect(endpoints.bySecurity('crm')).to.equal(undefined);
  });

  it('may what the first pattern in their list allows', () => {
    const crm = endpoints.get('crm');
    expect(crm?.match('publish', '/a/b')).to.equal('/a/*');
    expect(crm?.match('publish', '/c/d/new')).to.equal('/**/new');
    expect(crm?.match('publish', '/a/b/c')).to.equal(undefined);
    expect(crm?.match('subscribe', '/a/b')).to.equal(undefined);
    expect(endpoints.get('listener')?.match('subscribe', '/a/b')).to.equal('/**');
    expect(endpoints.get('listener')?.match('publish', '/a/b')).to.equal(undefined);
  });

  it('get only what they may; what is nobody’s is the operator’s', () => {
    expect(endpoints.mayReceive({ endpoint: 'crm' }, '/x')).to.equal(true);
    expect(endpoints.mayReceive({ endpoint: 'crm' }, '/y')).to.equal(false);
    expect(endpoints.mayReceive({ endpoint: 'gone' }, '/x')).to.equal(false);
    expect(endpoints.mayReceive({ service: 's' }, '/y')).to.equal(true);
    expect(endpoints.mayReceive(undefined, '/y')).to.equal(true);
  });
});

describe('Patterns with slashes', () => {
  const cases: readonly [string, readonly string[], readonly string[]][] = [
    ['/a/*', ['/a/b', '/a/', '/a/b.c'], ['/a', '/a/b/c', '/ab/c']],
    ['/a/**', ['/a', '/a/b', '/a/b/c'], ['/ab', '/b/a']],
    ['/*/b', ['/a/b', '//b'], ['/b', '/a/a/b']],
    ['/**/b', ['/b', '/a/b', '/a/c/b'], ['/ab', '/b/a']],
    ['**', ['/a', 'a.b', ''], []],
    ['/zato/demo/sample', ['/zato/demo/sample'], ['/zato/demo/sample2', 'zato/demo/sample']],
    ['/a.b/*', ['/a.b/c'], ['/axb/c']],
  ];
  for (const [pattern, yes, no] of cases) {
    it(`${pattern} takes ${yes.join(', ')}, not ${no.join(', ') || 'nothing'}`, () => {
      const { matches } = bound(pattern);
      expect(yes.filter((topic) => !matches(topic))).to.deep.equal([]);
      expect(no.filter(matches)).to.deep.equal([]);
    });
  }
});

function bound(pattern: string) {
  const compiled = compilePattern(pattern, '/');
  return { matches: (topic: string) => compiled.matches(topic) };
}

describe('Message ids of Zato 3.x', () => {
  const key = { receivedUs: 1_530_734_288_020_493, salt: 0xab0c, seq: 123_456_789 };

  it('are made of the same parts, and lead back to the message', () => {
    const id = messageId(key);
    expect(id).to.equal('zpsm.20180704-195808-0204-ab0c0000075bcd15f');
    expect(zato3Id(id)).to.equal('zpsm5b3d26d0ab0c0000075bcd15');
    expect(zato3Id(id)).to.match(/^zpsm[0-9a-f]{24}$/);
    expect(seqOf(zato3Id(id))).to.equal(key.seq);
    expect(isIdOf(zato3Id(id), id)).to.equal(true);
    expect(isIdOf(id, id)).to.equal(true);
  });

  it('are not taken for another message’s', () => {
    const id = messageId(key);
    for (const other of [
      messageId({ ...key, salt: 1 }),
      messageId({ ...key, seq: 1 }),
      messageId({ ...key, receivedUs: key.receivedUs + 1_000_000 }),
    ]) {
      expect(isIdOf(zato3Id(id), other)).to.equal(false);
    }
    for (const none of ['zpsm', `zpsm${'g'.repeat(24)}`, `zpsm${'0'.repeat(23)}`, '']) {
      expect(seqOf(none)).to.equal(undefined);
      expect(isIdOf(none, id)).to.equal(false);
    }
  });
});

// biome-ignore-all lint/suspicious/noTemplateCurlyInString: it is the syntax under test
import { expect } from 'chai';
import fc from 'fast-check';
import { applyConfig, exportConfig } from '../../runtime/config/apply.ts';
import { type ParsedConfig, parseConfig } from '../../runtime/config/yaml.ts';
import { startRedis, type TestRedis } from '../support/redis.ts';
import { connect, doorType, faultFrom, openStore, type TestStore, types } from './fixture.ts';

const env = (name: string) =>
  new Map([
    ['HOST', 'example.org'],
    ['EMPTY', ''],
  ]).get(name);

function parse(text: string): Promise<ParsedConfig> {
  return parseConfig({ file: 'hence.yaml', text, types, env });
}

async function problemsOf(text: string): Promise<readonly string[]> {
  const { problems } = await parse(text);
  return problems.map(({ where, message }) => `${where} ${message}`);
}

describe('A configuration file', () => {
  it('is a map of sections, each a map by name', async () => {
    const text = 'keys:\n  k: { secret: abc }\ndoors:\n  front:\n    path: /a\n    service: s\n';
    const { changes, problems } = await parse(text);
    expect(problems).to.deep.equal([]);
    expect(changes).to.deep.equal([
      { action: 'put', type: 'key', name: 'k', spec: { secret: 'abc' } },
      { action: 'put', type: 'door', name: 'front', spec: { path: '/a', service: 's' } },
    ]);
  });

  it('may be empty, have empty sections, a BOM, CRLF and comments', async () => {
    for (const text of ['', '# nothing\n', 'doors:\n', 'doors: {}\nkeys: ~\n']) {
      expect(await problemsOf(text), text).to.deep.equal([]);
    }
    const { changes } = await parse(
      '\uFEFFdoors:\r\n  a: # here\r\n    path: /a\r\n    service: s\r\n',
    );
    expect(changes).to.have.length(1);
  });

  it('is told of every problem at once, each with its line and column, in their order', async () => {
    const text = [
      'doors:', // 1
      '  front:', // 2
      '    path: front', // 3
      '    service: s', // 4
      '    service: t', // 5
      '    colour: red', // 6
      '  back:', // 7
      '    path: /b', // 8
      '    limit: 1.5', // 9
      '  side: { path: /s, service: s, key: nobody }', // 10
      '  twin: { path: /s, service: s }', // 11
      '  "bad name": { path: /n, service: s }', // 12
      '  env: { path: /e, service: "${env:NOPE}" }', // 13
      'gates:', // 14
      '  a: {}', // 15
      'keys: [1]', // 16
    ].join('\n');
    expect(await problemsOf(text)).to.deep.equal([
      'hence.yaml:3:11 door front: path: must start with "/"',
      'hence.yaml:5:5 the key service is given twice',
      'hence.yaml:6:5 door front: unknown key "colour"',
      'hence.yaml:7:3 door back: "service" is missing',
      'hence.yaml:9:12 door back: limit: Invalid input: expected int, received number',
      'hence.yaml:10:38 door side: there is no key nobody',
      'hence.yaml:11:3 door twin: the path /s is taken by door side',
      'hence.yaml:12:3 Not a name for a door: 1-128 letters, digits, ".", "_" or "-", starting with a letter or a digit',
      'hence.yaml:13:29 the environment has no variable NOPE',
      'hence.yaml:14:1 unknown section "gates": there are doors, keys',
      'hence.yaml:16:1 keys must be a map by name',
    ]);
  });

  it('that is not YAML is told where', async () => {
    expect(await problemsOf('doors:\n\tfront: 1')).to.deep.equal([
      'hence.yaml:2:1 Tabs are not allowed as indentation',
    ]);
    expect((await problemsOf('doors: [1\nkeys: 2'))[0]).to.match(/^hence\.yaml:2:1 Flow sequence/);
    expect((await problemsOf('doors:\n---\nkeys:'))[0]).to.match(
      /^hence\.yaml:2:1 .*a second document begins/,
    );
    expect((await problemsOf('- 1'))[0]).to.equal(
      'hence.yaml:1:1 the file must be a map of sections',
    );
    expect((await problemsOf('doors: !!js/function x')).at(-1)).to.match(
      /^hence\.yaml:1:8 Unresolved tag/,
    );
    expect((await problemsOf('doors:\n  a: *nothing\n'))[0]).to.match(/Unresolved alias/);
  });

  it('may share values by anchors, but is no bomb and no loop', async () => {
    const shared = 'keys:\n  one: &k { secret: x }\n  two: *k\n  three: { <<: *k }\n';
    const { changes, problems } = await parse(shared);
    expect(problems).to.deep.equal([]);
    expect(changes.map((change) => 'spec' in change && change.spec)).to.deep.equal(
      Array(3).fill({ secret: 'x' }),
    );
    const bomb = Array.from({ length: 12 }, (_, n) => {
      const inner =
        n === 0
          ? '1'
          : Array(9)
              .fill(`*a${n - 1}`)
              .join(', ');
      return `k${n}: &a${n} [${inner}]`;
    }).join('\n');
    expect((await problemsOf(bomb))[0]).to.match(/Excessive alias count/);
    expect((await problemsOf('doors: &a\n  x: *a\n'))[0]).to.match(/circular/);
  });

  it('pollutes no prototype', async () => {
    await parse('doors:\n  __proto__: { path: /a, service: s }\n__proto__: { admin: true }\n');
    await parse('doors:\n  a: { path: /a, service: s, headers: { __proto__: x } }\n');
    expect(({} as Record<string, unknown>)['admin']).to.equal(undefined);
    expect(({} as Record<string, unknown>)['path']).to.equal(undefined);
  });

  it('takes values from the environment, and leaves what has a dollar more', async () => {
    const text =
      'doors:\n  a:\n    path: /${env:HOST}/x${env:EMPTY}\n    service: $${env:HOST} $HOME\n';
    const { changes, problems } = await parse(text);
    expect(problems).to.deep.equal([]);
    expect(changes[0]).to.deep.include({
      spec: { path: '/example.org/x', service: '${env:HOST} $HOME' },
    });
  });

  it('survives any text with problems, never with a crash', async () => {
    const pieces = fc.constantFrom(
      ...[
        'doors',
        'keys',
        ':',
        ' ',
        '\n',
        '  ',
        '- ',
        '{',
        '}',
        '[',
        ']',
        '*a',
        '&a',
        '"',
        "'",
        '#',
        '|',
        '${env:X}',
        '\t',
        '!!',
        '<<',
        '?',
        '%',
        '\0',
      ],
    );
    await fc.assert(
      fc.asyncProperty(fc.array(pieces, { maxLength: 30 }), async (parts) => {
        for (const { where } of (await parse(parts.join(''))).problems) {
          expect(where).to.match(/^hence\.yaml:\d+:\d+$/);
        }
      }),
      { numRuns: 300, seed: 7 },
    );
  });
});

describe('Applying a configuration', () => {
  let server: TestRedis;
  let opened: TestStore;

  before(async () => {
    server = await startRedis();
  });
  after(() => server.stop());
  beforeEach(async () => {
    const redis = connect(server.path);
    await redis.flushall();
    redis.disconnect();
    opened = await openStore(server.path);
  });
  afterEach(() => opened.close());

  const apply = (yaml: string, dryRun = false) =>
    applyConfig(opened.store, { file: 'f.yaml', text: yaml }, { env, dryRun });

  const text = [
    'doors:',
    '  front: { path: /a, service: s, key: k }',
    'keys:',
    '  k: { secret: abc }',
  ].join('\n');

  it('does it all as one revision, whatever the order of sections, and nothing the second time', async () => {
    const first = await apply(text);
    expect(first).to.deep.equal({
      revision: 1,
      changes: [
        { action: 'created', type: 'door', name: 'front' },
        { action: 'created', type: 'key', name: 'k' },
      ],
    });
    const second = await apply(text);
    expect(second.revision).to.equal(1);
    expect(second.changes.map(({ action }) => action)).to.deep.equal(['unchanged', 'unchanged']);
    const third = await apply(text.replace('/a', '/b'));
    expect(third.changes.map(({ action }) => action)).to.deep.equal(['changed', 'unchanged']);
    expect(third.revision).to.equal(2);
  });

  it('leaves alone what the file does not name', async () => {
    await apply(text);
    await apply('doors:\n  other: { path: /o, service: s, key: k }\n');
    expect(opened.store.list('door').map(({ name }) => name)).to.deep.equal(['front', 'other']);
  });

  it('does nothing when anything is wrong, and says all of it', async () => {
    await apply(text);
    const bad =
      'doors:\n  back: { path: /a, service: s }\n  left: { service: s }\nkeys:\n  new: {}\n';
    const fault = await faultFrom(apply(bad));
    expect(fault.code).to.equal('bad-request');
    expect(fault.message).to.equal(
      'f.yaml:2:3: door back: the path /a is taken by door front (and 1 more)',
    );
    expect(fault.details).to.deep.equal([
      { where: 'f.yaml:2:3', message: 'door back: the path /a is taken by door front' },
      { where: 'f.yaml:3:3', message: 'door left: "path" is missing' },
    ]);
    expect(opened.store.revision).to.equal(1);
    expect(opened.store.get('key', 'new')).to.equal(undefined);
  });

  it('with a dry run only says what it would do', async () => {
    const report = await apply(text, true);
    expect(report.revision).to.equal(0);
    expect(report.changes.map(({ action }) => action)).to.deep.equal(['created', 'created']);
    expect(opened.store.isEmpty()).to.equal(true);
  });

  it('is done by two processes at once without one undoing the other', async () => {
    const other = await openStore(server.path);
    try {
      const source = (name: string) => ({
        file: 'f.yaml',
        text: `doors:\n  ${name}: { path: /${name}, service: s }\n`,
      });
      await Promise.all([
        ...Array.from({ length: 10 }, (_, n) =>
          applyConfig(opened.store, source(`a${n}`), { env }),
        ),
        ...Array.from({ length: 10 }, (_, n) => applyConfig(other.store, source(`b${n}`), { env })),
      ]);
      await opened.store.refresh();
      expect(opened.store.list('door')).to.have.length(20);
      expect(opened.store.revision).to.equal(20);
    } finally {
      await other.close();
    }
  });

  it('of 1,000 definitions takes less than two seconds', async () => {
    const many = Array.from({ length: 1_000 }, (_, n) => `  d${n}: { path: /${n}, service: s }`);
    const started = performance.now();
    await apply(`doors:\n${many.join('\n')}\n`);
    expect(performance.now() - started).to.be.below(2_000);
    expect(opened.store.list('door')).to.have.length(1_000);
    expect(opened.store.revision).to.equal(1);
  });

  it('is undone by nothing: an export, applied again, gives the same system', async () => {
    await apply(text);
    await opened.store.put('door', '10', { path: '/10', service: '${env:HOST} $${env:X} yes' });
    await opened.store.put('door', '9', {
      path: '/9',
      service: '007',
      headers: { 'x-null': 'null', 'x-date': '2001-01-01', 'x-text': 'a: b # c\n- d', e: '' },
    });
    const before = opened.store.list('door').map(({ name, spec }) => ({ name, spec }));
    const keys = opened.store.list('key').map(({ name, spec }) => ({ name, spec }));
    const exported = exportConfig(opened.store, types);
    expect(exported).to.match(
      /^doors:\n {2}"10":[\s\S]*\n {2}"9":[\s\S]*\n {2}front:[\s\S]*\nkeys:\n/,
    );
    const same = await apply(exported);
    expect(same.changes.every(({ action }) => action === 'unchanged')).to.equal(true);
    const { length } = same.changes;
    await opened.store.change(
      ['door', 'key'].flatMap((type) =>
        opened.store.list(type).map(({ name }) => ({ action: 'delete' as const, type, name })),
      ),
    );
    expect(exportConfig(opened.store, types)).to.equal('');
    expect((await apply(exported)).changes).to.have.length(length);
    expect(opened.store.list('door').map(({ name, spec }) => ({ name, spec }))).to.deep.equal(
      before,
    );
    expect(opened.store.list('key').map(({ name, spec }) => ({ name, spec }))).to.deep.equal(keys);
    expect(exportConfig(opened.store, types)).to.equal(exported);
  });

  it('gives the same system for any text in its values', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.string({ unit: 'grapheme' }),
        fc.integer({ min: 0, max: 3 }),
        async (random, dollars) => {
          const service = `${random}${'$'.repeat(dollars)}{env:HOST}`;
          await opened.store.put('door', 'any', { path: '/any', service });
          const report = await apply(exportConfig(opened.store, types));
          expect(report.changes.map(({ action }) => action)).to.deep.equal(['unchanged']);
          expect(opened.store.get(doorType, 'any')?.spec.service).to.equal(service);
        },
      ),
      { numRuns: 100, seed: 3 },
    );
  });
});

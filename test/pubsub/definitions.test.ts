import { randomBytes } from 'node:crypto';
import { expect } from 'chai';
import { applyConfig, exportConfig } from '../../runtime/config/apply.ts';
import type { DefinitionType } from '../../runtime/config/definition.ts';
import { permissionType } from '../../runtime/pubsub/permission-definition.ts';
import {
  type SubscriptionSpec,
  subscriptionType,
} from '../../runtime/pubsub/subscription-definition.ts';
import { type TopicSpec, topicRules, topicType } from '../../runtime/pubsub/topic-definition.ts';
import { definitionTypes } from '../../runtime/roof/definition-types.ts';
import { PasswordHasher } from '../../runtime/security/password.ts';
import { Sealer } from '../../runtime/security/sealer.ts';
import { connect, faultFrom, openStore, type TestStore } from '../config/fixture.ts';
import { startRedis, type TestRedis } from '../support/redis.ts';

const sealer = new Sealer(randomBytes(32));
const all = Object.values(definitionTypes({ hasher: new PasswordHasher(), sealer }));
// Each type knows its own spec; the store hands each back what that type has checked.
const types = all as readonly unknown[] as readonly DefinitionType[];

describe('Definitions of publish/subscribe', () => {
  let redis: TestRedis;
  let one: TestStore;

  before(async () => {
    redis = await startRedis();
  });
  after(() => redis.stop());

  beforeEach(async () => {
    const client = connect(redis.path);
    await client.flushall();
    client.disconnect();
    one = await openStore(redis.path, { types });
    const user = { username: 'user.1', passwordHash: await new PasswordHasher().hash('p') };
    await one.store.change([
      { action: 'put', type: 'security', name: 'user.1', spec: user },
      { action: 'put', type: 'security', name: 'user.2', spec: { ...user, username: 'user.2' } },
      { action: 'put', type: 'outgoing', name: 'crm', spec: { url: 'http://crm.example' } },
    ]);
  });
  afterEach(() => one.close());

  const subscription = (name: string) =>
    one.store.get('subscription', name)?.spec as SubscriptionSpec;
  const refused = async (type: string, name: string, spec: object): Promise<string> => {
    const fault = await faultFrom(one.store.put(type, name, spec));
    return `${fault.code}: ${fault.message}`;
  };

  describe('topic', () => {
    it('is kept in lower case, whatever its URL may hold', async () => {
      const made = await one.store.create('topic', 'Demo.1', {});
      expect(made).to.deep.include({ name: 'demo.1', spec: { enabled: true } });
      for (const name of ['orders/new', 'a b', '$a@b,c;d!(e)', 'a..b', 'x'.repeat(200), '50%']) {
        await one.store.create('topic', name, { priority: 9 });
        expect(one.store.get('topic', name)?.name, name).to.equal(name);
      }
      const again = await faultFrom(one.store.create('topic', 'DEMO.1', {}));
      expect(again).to.include({ code: 'conflict', message: 'topic demo.1 already exists' });
      expect(one.store.get('topic', 'DEMO.1')?.name).to.equal('demo.1');
      await one.store.patch('topic', 'dEMO.1', { priority: 3 });
      expect(one.store.get('topic', 'demo.1')?.spec).to.include({ priority: 3 });
      await one.store.delete('topic', 'DEMO.1');
      expect(one.store.get('topic', 'demo.1')).to.equal(undefined);
    });

    it('is read back by other processes under any such name', async () => {
      await one.store.create('topic', 'orders/New 1', {});
      const other = await openStore(redis.path, { types });
      await one.store.create('topic', '..a/b', {});
      await other.store.refresh();
      const names = other.store.list('topic').map(({ name }) => name);
      await other.close();
      expect(names).to.deep.equal(['..a/b', 'orders/new 1']);
      expect(other.log.entries).to.deep.equal([]);
    });

    it('is not named what no URL or client can name', async () => {
      expect(await refused('topic', 'a#b', {})).to.equal(
        'bad-request: Topic name cannot contain "#" character',
      );
      for (const name of ['', ' a', 'x'.repeat(201), 'caf\u00e9', 'a*', 'a?b', 'a\nb', '.', '..']) {
        expect(await refused('topic', name, {}), name).to.match(/^bad-request: Topic name/);
      }
      // U+212A in lower case is a plain k.
      expect(await refused('topic', '\u212a', {})).to.match(/non-ASCII/);
    });

    it('has limits, each at its edge', () => {
      const { schema } = topicType();
      const good: readonly object[] = [
        { priority: 0 },
        { priority: 9 },
        { maxSize: 1 },
        { maxSize: '8mb' },
        { maxSize: 8 * 1_048_576 },
        { expiration: '1ms' },
        { expiration: '3650d' },
        { description: 'x'.repeat(1_000) },
        { enabled: false },
      ];
      const bad: readonly object[] = [
        { priority: -1 },
        { priority: 10 },
        { priority: 1.5 },
        { maxSize: 0 },
        { maxSize: '0.5b' },
        { maxSize: 8 * 1_048_576 + 1 },
        { maxSize: '9mb' },
        { maxSize: 'big' },
        { expiration: 0 },
        { expiration: 0.5 },
        { expiration: '3651d' },
        { expiration: '1 year' },
        { description: 'x'.repeat(1_001) },
        { enabled: 'no' },
        { colour: 'red' },
      ];
      expect(good.filter((spec) => !schema.safeParse(spec).success)).to.deep.equal([]);
      expect(bad.filter((spec) => schema.safeParse(spec).success)).to.deep.equal([]);
    });

    it('tells its rules in bytes and ms', () => {
      const spec: TopicSpec = { enabled: false, maxSize: '64kb', expiration: '1h', priority: 2 };
      expect(topicRules(spec)).to.deep.equal({
        enabled: false,
        maxSize: 65_536,
        expirationMs: 3_600_000,
        priority: 2,
      });
      expect(topicRules({ enabled: true })).to.deep.equal({ enabled: true });
    });
  });

  describe('subscription', () => {
    it('has its defaults and a subKey of its own', async () => {
      await one.store.create('subscription', 's', { topics: ['Demo.1'], security: 'user.1' });
      const { subKey, ...spec } = subscription('s');
      expect(subKey).to.match(/^sk[0-9a-f]{32}$/);
      expect(spec).to.deep.equal({
        topics: ['demo.1'],
        security: 'user.1',
        delivery: 'pull',
        enabled: true,
        paused: false,
        batch: 50,
        concurrency: 10,
        ordered: false,
        maxDeliveries: 20,
        retry: ['1s', '5s', '30s', '5m', '30m', '2h', '5h', '10h', '14h', '20h', '24h'],
        maxDepth: 1_000_000,
        whenFull: 'refuse',
        maxInflight: 1_000,
        timeout: '60s',
      });
    });

    it('is a push when it has a target, one at a time when it is ordered', async () => {
      await one.store.create('subscription', 's', { topics: ['a'], service: 's.t', ordered: true });
      expect(subscription('s')).to.include({ delivery: 'push', concurrency: 1 });
      await one.store.create('subscription', 'o', { topics: ['A', 'a', 'b.*'], outgoing: 'crm' });
      expect(subscription('o').topics).to.deep.equal(['a', 'b.*']);
    });

    it('keeps its subKey over edits, and refuses another', async () => {
      await one.store.create('subscription', 's', { topics: ['a'], service: 's.t' });
      const { subKey } = subscription('s');
      await one.store.put('subscription', 's', { topics: ['b'], service: 's.t' });
      await one.store.patch('subscription', 's', { service: null, outgoing: 'crm' });
      expect(subscription('s')).to.include({ subKey, outgoing: 'crm' });
      const spec = { topics: ['b'], service: 's.t', subKey: 'sk-other' };
      expect(await refused('subscription', 's', spec)).to.equal(
        `conflict: subscription s: the subKey names the queue and stays as it is: ${subKey}`,
      );
      await one.store.create('subscription', 'given', { ...spec, topics: ['c'] });
      expect(subscription('given').subKey).to.equal('sk-other');
    });

    it('has a subKey and a security definition that no other has', async () => {
      const spec = { topics: ['a'], security: 'user.1', subKey: 'sk-1' };
      await one.store.create('subscription', 's', spec);
      expect(await refused('subscription', 't', { ...spec, subKey: 'sk-2' })).to.equal(
        'conflict: subscription t: security user.1 already belongs to subscription s',
      );
      expect(await refused('subscription', 't', { ...spec, security: 'user.2' })).to.equal(
        'conflict: subscription t: subKey sk-1 already belongs to subscription s',
      );
      const fault = await faultFrom(
        one.store.change(
          ['x', 'y'].map((name) => ({
            ...({ action: 'put', type: 'subscription', name } as const),
            spec: { topics: ['a'], security: 'user.2' },
          })),
        ),
      );
      expect(fault.message).to.contain('security user.2 already belongs to subscription x');
      await one.store.put('subscription', 's', { ...spec, topics: ['b'] });
      await one.store.change([
        { action: 'delete', type: 'subscription', name: 's' },
        { action: 'put', type: 'subscription', name: 't', spec },
      ]);
      expect(subscription('t').subKey).to.equal('sk-1');
    });

    it('goes to one target and one only', async () => {
      const wrong: readonly (readonly [object, RegExp])[] = [
        [{ delivery: 'push' }, /push needs a service or an outgoing/],
        [{ service: 's.t', outgoing: 'crm' }, /push needs a service or an outgoing/],
        [{ delivery: 'pull', security: 'user.1', service: 's.t' }, /pull has neither/],
        [{}, /pull needs a security definition/],
        [{ service: 's.t', ordered: true, concurrency: 2 }, /concurrency must be 1/],
        [{ security: 'nobody' }, /there is no security nobody/],
        [{ outgoing: 'nothing' }, /there is no outgoing nothing/],
        [{ topics: [], service: 's.t' }, /name at least one topic/],
        [{ topics: ['a#'], service: 's.t' }, /Topic name cannot contain "#"/],
        [{ topics: ['zato.*'], service: 's.t' }, /reserved/],
        [{ topics: [''], service: 's.t' }, /cannot be empty/],
        [{ service: 's.t', subKey: 'zato.service.x' }, /subKey/],
        [{ service: 's.t', subKey: 'ZATO.x' }, /subKey/],
        [{ service: 's.t', subKey: 'a:b' }, /subKey/],
        [{ service: 's.t', path: '/x' }, /unknown key "path"/],
      ];
      for (const [spec, reason] of wrong) {
        expect(await refused('subscription', 's', { topics: ['a'], ...spec })).to.match(reason);
      }
      expect(one.store.list('subscription')).to.deep.equal([]);
    });

    it('has limits, each at its edge', () => {
      const { schema } = subscriptionType();
      const edges: Readonly<Record<string, readonly [unknown[], unknown[]]>> = {
        batch: [
          [1, 1_000],
          [0, 1_001, 1.5, '1'],
        ],
        concurrency: [
          [1, 100],
          [0, 101],
        ],
        maxDeliveries: [
          [1, 1_000],
          [0, 1_001],
        ],
        maxDepth: [
          [1, 10_000_000],
          [0, 10_000_001],
        ],
        maxInflight: [
          [1, 100_000],
          [0, 100_001],
        ],
        lease: [
          ['1s', '12h', 1_000],
          ['999ms', '13h', 0, 'soon'],
        ],
        retry: [
          [['1ms'], ['7d', 5_000], Array(100).fill('1s')],
          [[], ['0s'], ['8d'], Array(101).fill('1s'), '1s'],
        ],
        topics: [
          [['x'.repeat(200)], Array.from({ length: 1_000 }, (_, at) => `t${at}`)],
          [['x'.repeat(201)], Array.from({ length: 1_001 }, (_, at) => `t${at}`), 'a'],
        ],
        whenFull: [['refuse', 'drop'], ['block']],
        // Of what is sent to an outgoing connection alone.
        format: [[undefined], ['zato2', 'zato4', 'xml']],
        subKey: [
          ['sk-1', 'x'.repeat(128)],
          ['', 'x'.repeat(129), 'a b', '-a'],
        ],
        security: [['user.1'], ['', 'a b']],
      };
      const base = { topics: ['a'], service: 's.t' };
      const takes = (key: string, value: unknown) =>
        schema.safeParse({ ...base, [key]: value }).success;
      for (const [key, [good, bad]] of Object.entries(edges)) {
        expect(
          good.filter((value) => !takes(key, value)),
          key,
        ).to.deep.equal([]);
        expect(
          bad.filter((value) => takes(key, value)),
          key,
        ).to.deep.equal([]);
      }
    });

    it('may send an outgoing connection what Zato 2.0 sent', () => {
      const { schema } = subscriptionType();
      const takes = (spec: object) => schema.safeParse({ topics: ['a'], ...spec }).success;
      for (const format of ['zato4', 'zato2', undefined]) {
        expect(takes({ outgoing: 'crm', format })).to.equal(true);
      }
      expect(takes({ outgoing: 'crm', format: 'soap' })).to.equal(false);
      expect(takes({ security: 'user.1', format: 'zato2' })).to.equal(false);
    });

    it('keeps its security definition and its connection from being deleted', async () => {
      const spec = { topics: ['a'], security: 'user.1', outgoing: 'crm' };
      await one.store.create('subscription', 's', spec);
      for (const [type, name] of [
        ['security', 'user.1'],
        ['outgoing', 'crm'],
      ] as const) {
        const fault = await faultFrom(one.store.delete(type, name));
        expect(fault.message).to.contain('used by subscription s');
      }
    });
  });

  describe('permission', () => {
    it('has its patterns in lower case, each once', async () => {
      const spec = { security: 'user.1', publish: ['Orders.*', 'orders.*'] };
      const made = await one.store.create('permission', 'p', spec);
      expect(made.spec).to.deep.equal({ ...spec, publish: ['orders.*'], subscribe: [] });
    });

    it('is refused without patterns, with bad ones, and for nobody', async () => {
      const base = { security: 'user.1', publish: ['a'] };
      expect(await refused('permission', 'p', { security: 'user.1' })).to.contain(
        'needs a pattern',
      );
      expect(await refused('permission', 'p', { publish: ['a'] })).to.contain(
        '"security" is missing',
      );
      expect(await refused('permission', 'p', { ...base, security: 'x' })).to.contain(
        'no security x',
      );
      for (const pattern of ['', 'x'.repeat(201), 'caf\u00e9', 'my.zato.x', 'zpsk', 5]) {
        expect(await refused('permission', 'p', { ...base, publish: [pattern] })).to.match(
          /publish/,
        );
      }
      const { schema } = permissionType();
      const many = Array.from({ length: 1_001 }, (_, at) => `t${at}`);
      expect(schema.safeParse({ ...base, publish: many.slice(1) }).success).to.equal(true);
      expect(schema.safeParse({ ...base, publish: many }).success).to.equal(false);
    });
  });

  describe('as YAML', () => {
    const text = `
permissions:
  user.1: { security: user.1, publish: [Demo.1], subscribe: ["demo.**"] }
subscriptions:
  reader: { topics: [Demo.1], security: user.1 }
  billing:
    topics: ["orders.*"]
    service: billing.invoice
    retry: [1s, 2000]
topics:
  Demo.1:
  orders/new now: { expiration: 1h }
`;
    const apply = (source: string) =>
      applyConfig(one.store, { file: 'hence.yaml', text: source }, { env: () => undefined });

    it('applies in any order of the sections, and again without a change', async () => {
      const first = await apply(text);
      expect(first.changes.every(({ action }) => action === 'created')).to.equal(true);
      const second = await apply(text);
      expect(second.changes.every(({ action }) => action === 'unchanged')).to.equal(true);
      expect(second.revision).to.equal(first.revision);
      expect(one.store.list('topic').map(({ name }) => name)).to.deep.equal([
        'demo.1',
        'orders/new now',
      ]);
    });

    it('exports what gives the same system elsewhere, queues included', async () => {
      await apply(text);
      const { subKey } = subscription('billing');
      const exported = exportConfig(one.store, one.store.types);
      expect(
        (await apply(exported)).changes.every(({ action }) => action === 'unchanged'),
      ).to.equal(true);
      const client = connect(redis.path);
      await client.flushall();
      client.disconnect();
      const elsewhere = await openStore(redis.path, { types });
      await applyConfig(
        elsewhere.store,
        { file: 'hence.yaml', text: exported },
        { env: () => undefined },
      );
      expect(exportConfig(elsewhere.store, types)).to.equal(exported);
      const again = elsewhere.store.get('subscription', 'billing')?.spec as SubscriptionSpec;
      expect(again.subKey).to.equal(subKey);
      await elsewhere.close();
    });

    it('names the place of each problem, in the spelling of the file', async () => {
      const fault = await faultFrom(
        apply('topics:\n  Demo.1:\n    priority: 10\n  a#b: {}\n  Twice:\n  TWICE: {}\n'),
      );
      const places = (fault.details as readonly { where: string; message: string }[]).map(
        ({ where, message }) => `${where} ${message}`,
      );
      expect(places[0]).to.match(/^hence\.yaml:3:15 topic demo\.1: priority/);
      expect(places.join('\n')).to.match(/^hence\.yaml:4:\d Topic name cannot contain "#"/m);
      expect(places.join('\n')).to.match(/^hence\.yaml:6:\d topic twice is given twice/m);
    });
  });

  it('are stored and read in bulk: 10,000 topics and 10,000 subscriptions in one change', async function () {
    this.timeout(30_000);
    const count = 10_000;
    const changes = Array.from({ length: count }, (_, at) => [
      { action: 'put', type: 'topic', name: `orders.${at}`, spec: {} } as const,
      {
        ...({ action: 'put', type: 'subscription', name: `s${at}` } as const),
        spec: { topics: [`orders.${at}`], service: 's.t' },
      },
    ]).flat();
    const start = performance.now();
    await one.store.change(changes);
    const bulkMs = performance.now() - start;
    const editStart = performance.now();
    await one.store.patch('subscription', 's5000', { paused: true });
    const editMs = performance.now() - editStart;
    const keys = new Set(
      one.store.list('subscription').map(({ spec }) => (spec as SubscriptionSpec).subKey),
    );
    expect(keys.size).to.equal(count);
    expect(bulkMs).to.be.lessThan(15_000);
    expect(editMs).to.be.lessThan(500);
    const names = one.store.list('topic').map(({ name }) => name);
    expect(names).to.deep.equal(names.toSorted());
    const deletes = changes.map(({ type, name }) => ({ action: 'delete', type, name }) as const);
    await one.store.change(deletes);
    expect(one.store.list('subscription')).to.deep.equal([]);
  });
});

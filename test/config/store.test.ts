import { expect } from 'chai';
import { planChanges } from '../../runtime/config/plan.ts';
import type { DefinitionChange } from '../../runtime/config/table.ts';
import { startRedis, type TestRedis } from '../support/redis.ts';
import { connect, doorType, faultFrom, openStore, type TestStore, until } from './fixture.ts';

const door = (path: string, more: object = {}) => ({ path, service: 'a.b', ...more });

describe('DefinitionStore', () => {
  let server: TestRedis;
  const open: TestStore[] = [];

  before(async () => {
    server = await startRedis();
  });
  after(() => server.stop());

  beforeEach(async () => {
    const redis = connect(server.path);
    await redis.flushall();
    redis.disconnect();
  });
  afterEach(async () => {
    await Promise.all(open.splice(0).map((one) => one.close()));
  });

  async function opened(...[options]: [Parameters<typeof openStore>[1]?]): Promise<TestStore> {
    const one = await openStore(server.path, options);
    open.push(one);
    return one;
  }

  describe('edits', () => {
    it('is empty at first, and at revision 0', async () => {
      const { store } = await opened();
      expect(store.isEmpty()).to.equal(true);
      expect(store.status()).to.deep.equal({ revision: 0, up: true, loaded: true });
      expect(store.list('door')).to.deep.equal([]);
      expect(store.list('nothing')).to.deep.equal([]);
    });

    it('creates with defaults filled in, and refuses to create twice', async () => {
      const { store } = await opened();
      const made = await store.create('door', 'front', door('/a'));
      expect(made).to.deep.include({ type: 'door', name: 'front', revision: 1 });
      expect(store.get(doorType, 'front')?.spec).to.deep.equal({
        path: '/a',
        service: 'a.b',
        key: 'none',
        limit: 10,
        headers: {},
      });
      const again = await faultFrom(store.create('door', 'front', door('/b')));
      expect(again).to.include({ code: 'conflict', message: 'door front already exists' });
    });

    it('lists by name', async () => {
      const { store } = await opened();
      await store.change(
        ['b', 'a', 'B', '10', '9'].map((name) => ({
          action: 'put',
          type: 'door',
          name,
          spec: door(`/${name}`),
        })),
      );
      expect(store.list('door').map(({ name }) => name)).to.deep.equal(['10', '9', 'B', 'a', 'b']);
      expect(store.revision).to.equal(1);
    });

    it('changes nothing when the spec is equal, the revision included', async () => {
      const { store } = await opened();
      await store.put('door', 'front', door('/a'));
      const same = await store.put('door', 'front', { limit: 10, ...door('/a') });
      expect(same.revision).to.equal(1);
      expect(store.revision).to.equal(1);
    });

    it('refuses an edit of a revision that has moved', async () => {
      const { store } = await opened();
      await store.put('door', 'front', door('/a'));
      await store.put('door', 'front', door('/b'));
      const fault = await faultFrom(store.put('door', 'front', door('/c'), { ifRevision: 1 }));
      expect(fault.code).to.equal('conflict');
      expect(fault.message).to.equal('door front moved from revision 1 to 2');
      const kept = await store.put('door', 'front', door('/c'), { ifRevision: 2 });
      expect(kept.revision).to.equal(3);
      const stale = await faultFrom(store.delete('door', 'front', { ifRevision: 2 }));
      expect(stale.message).to.equal('door front moved from revision 2 to 3');
      const gone = await faultFrom(store.patch('door', 'gone', {}, { ifRevision: 2 }));
      expect(gone).to.include({
        code: 'conflict',
        message: 'door gone is gone: it was at revision 2',
      });
    });

    it('patches single keys, and null removes one', async () => {
      const { store } = await opened();
      await store.put('door', 'front', door('/a', { limit: 3, headers: { x: '1' } }));
      await store.patch('door', 'front', { path: '/b', limit: null });
      expect(store.get(doorType, 'front')?.spec).to.include({ path: '/b', limit: 10 });
      expect(store.get(doorType, 'front')?.spec.headers).to.deep.equal({ x: '1' });
      const fault = await faultFrom(store.patch('door', 'front', { path: null }));
      expect(fault.message).to.equal('door front: "path" is missing');
    });

    it('names every bad key at once', async () => {
      const { store } = await opened();
      const fault = await faultFrom(
        store.put('door', 'front', { path: 'a', limit: 1.5, headers: { x: 1 }, colour: 'red' }),
      );
      expect(fault.code).to.equal('bad-request');
      expect(fault.message).to.match(/^door front: .*"service" is missing.*unknown key "colour"/);
      const details = fault.details as readonly { path: string; message: string }[];
      expect(details.map(({ path }) => path)).to.have.members([
        'path',
        'service',
        'limit',
        'headers.x',
        'colour',
      ]);
      expect(store.isEmpty()).to.equal(true);
    });

    it('refuses names that are none, types that are none, and names of prototypes as keys', async () => {
      const { store } = await opened();
      for (const name of ['', '__proto__', 'a/b', '../x', 'a..b', '.a', 'x'.repeat(129), 'a b']) {
        const fault = await faultFrom(store.put('door', name, door('/a')));
        expect(fault.code, name).to.equal('bad-request');
      }
      expect((await faultFrom(store.put('toString', 'a', {}))).code).to.equal('not-found');
      const spec: unknown = JSON.parse('{"path":"/p","service":"s","__proto__":{"admin":true}}');
      await store.put('door', 'polluted', spec).catch(() => undefined);
      await store.put('door', 'constructor', door('/c'));
      await store.put('door', 'x'.repeat(128), door('/x'));
      expect(store.get('door', 'constructor')?.name).to.equal('constructor');
      expect(store.get('door', 'toString')).to.equal(undefined);
      expect(({} as Record<string, unknown>)['admin']).to.equal(undefined);
      expect(store.get('door', 'polluted')?.spec ?? {}).not.to.have.property('admin');
    });

    it('refuses a reference to nothing, and the deletion of what is named', async () => {
      const { store } = await opened();
      const dangling = await faultFrom(store.put('door', 'front', door('/a', { key: 'k' })));
      expect(dangling.message).to.equal('door front: there is no key k');
      expect(dangling.details).to.deep.equal([{ path: 'key', message: 'there is no key k' }]);
      await store.put('key', 'k', { secret: 'abc' });
      await store.put('door', 'front', door('/a', { key: 'k' }));
      await store.put('door', 'back', door('/b', { key: 'k' }));
      const used = await faultFrom(store.delete('key', 'k'));
      expect(used.code).to.equal('conflict');
      expect(used.message).to.equal('key k cannot be deleted: it is used by door back, door front');
      await store.change([
        { action: 'delete', type: 'key', name: 'k' },
        { action: 'delete', type: 'door', name: 'front' },
        { action: 'delete', type: 'door', name: 'back' },
      ]);
      expect(store.isEmpty()).to.equal(true);
      expect((await faultFrom(store.delete('key', 'k'))).code).to.equal('not-found');
    });

    it('refuses what conflicts with another, but lets two swap places in one set', async () => {
      const { store } = await opened();
      await store.put('door', 'one', door('/1'));
      await store.put('door', 'two', door('/2'));
      const fault = await faultFrom(store.put('door', 'two', door('/1')));
      expect(fault.message).to.equal('door two: the path /1 is taken by door one');
      await store.change([
        { action: 'put', type: 'door', name: 'one', spec: door('/2') },
        { action: 'put', type: 'door', name: 'two', spec: door('/1') },
      ]);
      expect(store.get(doorType, 'one')?.spec.path).to.equal('/2');
      expect(store.revision).to.equal(3);
    });

    it('does all of a set or nothing', async () => {
      const { store } = await opened();
      await faultFrom(
        store.change([
          { action: 'put', type: 'door', name: 'good', spec: door('/1') },
          { action: 'put', type: 'door', name: 'bad', spec: {} },
          { action: 'delete', type: 'door', name: 'none' },
        ]),
      ).then(({ message }) => expect(message).to.match(/^3 problems: door bad: /));
      expect(store.status().revision).to.equal(0);
      expect(store.isEmpty()).to.equal(true);
    });

    it('stores the sealed form only, and keeps it while the secret is the same', async () => {
      const { store, redis } = await opened();
      await store.put('key', 'k', { secret: 'canary' });
      const first = store.get('key', 'k');
      expect(await redis.hget('{hence}:definitions:key', 'k')).to.not.include('canary');
      await store.put('key', 'k', { secret: 'canary' });
      expect(store.get('key', 'k')).to.deep.equal(first);
      await store.put('key', 'k', { secret: 'other' });
      expect(store.revision).to.equal(2);
    });
  });

  describe('several processes', () => {
    it('lose no update in 2 x 100 edits at once, and agree in the end', async () => {
      const [a, b] = [await opened(), await opened()];
      await a.store.put('door', 'counter', door('/c', { headers: {} }));
      await b.store.refresh();
      const edit = ({ store }: TestStore, name: string) =>
        store.transact(async () => {
          const { headers } = store.get(doorType, 'counter')?.spec ?? { headers: {} };
          const keys = { headers: { ...headers, [name]: 'x' } };
          const change = { action: 'patch', type: 'door', name: 'counter', keys } as const;
          return await planChanges([change], store, store.types);
        });
      const edits = Array.from({ length: 100 }, (_, n) => [edit(a, `a${n}`), edit(b, `b${n}`)]);
      await Promise.all(edits.flat());
      await Promise.all([a.store.refresh(), b.store.refresh()]);
      const seen = a.store.get(doorType, 'counter');
      expect(Object.keys(seen?.spec.headers ?? {})).to.have.length(200);
      expect(seen?.revision).to.equal(201);
      expect(b.store.get(doorType, 'counter')).to.deep.equal(seen);
    });

    it('let one of two edits of a revision win, whatever happens at once', async () => {
      const [a, b] = [await opened(), await opened()];
      let revision = (await a.store.put('door', 'd', door('/0'))).revision;
      await b.store.refresh();
      for (let round = 0; round < 25; round++) {
        const results = await Promise.allSettled(
          [a, b].map(({ store }, side) =>
            store.put('door', 'd', door(`/${round}/${side}`), { ifRevision: revision }),
          ),
        );
        const won = results.filter(({ status }) => status === 'fulfilled');
        expect(won).to.have.length(1);
        await Promise.all([a.store.refresh(), b.store.refresh()]);
        revision = a.store.revision;
      }
      expect(revision).to.equal(26);
    });

    it('cannot break a reference by an edit and a deletion at once', async () => {
      const [a, b] = [await opened(), await opened()];
      for (let round = 0; round < 20; round++) {
        await a.store.put('key', 'k', { secret: `${round}` });
        await b.store.refresh();
        await Promise.allSettled([
          a.store.put('door', 'd', door('/d', { key: 'k' })),
          b.store.delete('key', 'k'),
        ]);
        await a.store.refresh();
        const { key } = a.store.get(doorType, 'd')?.spec ?? { key: 'none' };
        expect(key === 'none' || a.store.get('key', 'k') !== undefined).to.equal(true);
        if (a.store.get('door', 'd')) await a.store.delete('door', 'd');
      }
    });

    it('tell each other only what changed, in order, with what was before', async () => {
      const a = await opened({ pollMs: 60_000 });
      const b = await opened({ pollMs: 60_000 });
      const seen: { changes: readonly DefinitionChange[]; revision: number }[] = [];
      const stop = b.store.onChange((changes, revision) => seen.push({ changes, revision }));
      await a.store.put('door', 'one', door('/1'));
      await a.store.put('door', 'two', door('/2'));
      await a.store.put('door', 'one', door('/1b'));
      await a.store.delete('door', 'two');
      await until(() => seen.at(-1)?.revision === 4);
      const last = new Map<string, DefinitionChange>();
      for (const { changes } of seen) for (const one of changes) last.set(one.name, one);
      expect(last.get('one')?.after).to.deep.equal(a.store.get('door', 'one'));
      expect(last.get('two')?.after).to.equal(undefined);
      expect(seen.map(({ revision }) => revision)).to.deep.equal(
        seen.map(({ revision }) => revision).toSorted((x, y) => x - y),
      );
      stop();
      await a.store.put('door', 'three', door('/3'));
      await until(() => b.store.get('door', 'three') !== undefined);
      expect(seen.at(-1)?.revision).to.equal(4);
    });

    it('hear of their own edits at once', async () => {
      const { store } = await opened();
      const seen: (readonly DefinitionChange[])[] = [];
      store.onChange((changes) => seen.push(changes));
      await store.put('door', 'one', door('/1'));
      expect(seen).to.have.length(1);
      expect(seen[0]?.[0]).to.deep.equal({
        type: 'door',
        name: 'one',
        after: store.get('door', 'one'),
      });
    });

    it('go on when a listener throws', async () => {
      const { store, log } = await opened();
      let heard = 0;
      store.onChange(() => {
        throw new Error('broken');
      });
      store.onChange(() => heard++);
      await store.put('door', 'one', door('/1'));
      expect(heard).to.equal(1);
      expect(log.entries.map(({ level }) => level)).to.include('error');
    });

    it('heal a missed notification by polling when the connection is killed', async () => {
      const a = await opened();
      let made = 0;
      const b = await opened({
        pollMs: 40,
        subscriber: () => {
          made++;
          const subscriber = connect(server.path);
          // It does not come back by itself: only polling can notice.
          subscriber.options.retryStrategy = () => null;
          return subscriber;
        },
      });
      await until(async () => (await a.redis.pubsub('NUMSUB', '{hence}:changed'))[1] === 2);
      expect(await a.redis.call('CLIENT', 'KILL', 'TYPE', 'pubsub')).to.equal(2);
      await a.store.put('door', 'one', door('/1'));
      await until(() => b.store.get('door', 'one') !== undefined, 2_000);
      await until(() => made > 1, 2_000);
      expect(b.store.status().up).to.equal(true);
    });

    it('find an edit that nobody counted by reading everything now and then', async () => {
      const a = await opened({ reconcileMs: 60 });
      await a.store.put('door', 'one', door('/1'));
      await a.store.put('door', 'two', door('/2'));
      const text = (await a.redis.hget('{hence}:definitions:door', 'one')) ?? '';
      await a.redis.hset('{hence}:definitions:door', 'one', text.replace('/1', '/x'));
      await a.redis.hdel('{hence}:definitions:door', 'two');
      await until(() => a.store.get(doorType, 'one')?.spec.path === '/x');
      await until(() => a.store.get('door', 'two') === undefined);
    });
  });

  describe('a Redis with a fault', () => {
    it('does not crash over what is not readable: it is logged once and left out', async () => {
      const a = await opened({ reconcileMs: 30 });
      await a.store.put('door', 'good', door('/1'));
      await a.store.put('door', 'kept', door('/2'));
      const hash = '{hence}:definitions:door';
      await a.redis.hset(hash, 'kept', 'torn{');
      await a.redis.hset(hash, 'json', '{"revision":1');
      await a.redis.hset(hash, 'shape', '[]');
      await a.redis.hset(hash, 'spec', '{"revision":9,"updatedAt":"x","spec":{"colour":1}}');
      await a.redis.hset(hash, 'null', 'null');
      await a.redis.hset(hash, '../x', '{"revision":9,"updatedAt":"x","spec":{}}');
      await a.redis.sadd('{hence}:types', 'martian');
      await a.store.refresh({ full: true });
      await a.store.refresh({ full: true });
      expect(a.store.list('door').map(({ name }) => name)).to.deep.equal(['good', 'kept']);
      const errors = a.log.entries.filter(({ level }) => level === 'error');
      expect(errors.map(({ facts }) => facts['name'])).to.have.members([
        'kept',
        'json',
        'shape',
        'spec',
        'null',
        '../x',
      ]);
      const warnings = a.log.entries.filter(({ facts }) => facts['type'] === 'martian');
      expect(warnings).to.have.length(1);
      const b = await opened();
      expect(b.store.list('door').map(({ name }) => name)).to.deep.equal(['good']);
      await b.store.create('door', 'json', door('/3'));
      await a.store.refresh();
      expect(a.store.get('door', 'json')?.revision).to.equal(3);
    });

    it('is noticed when it was emptied: the last known definitions serve on, edits are refused', async () => {
      const a = await opened();
      await a.store.put('door', 'one', door('/1'));
      const heard: unknown[] = [];
      a.store.onChange((changes) => heard.push(changes));
      await a.redis.flushall();
      await until(() => a.store.status().lost === 'emptied');
      expect(a.store.get('door', 'one')?.revision).to.equal(1);
      const fault = await faultFrom(a.store.put('door', 'two', door('/2')));
      expect(fault.code).to.equal('unavailable');
      expect(fault.message).to.match(/^Redis was emptied/);
      await a.store.refresh({ full: true });
      expect(heard).to.deep.equal([]);
      const errors = a.log.entries.filter(({ level }) => level === 'error');
      expect(errors).to.have.length(1);
      expect(await a.redis.keys('*')).to.deep.equal([]);
    });

    it('is noticed at an older revision, and when the data come back it serves on', async () => {
      const a = await opened({ pollMs: 60_000 });
      await a.store.put('door', 'one', door('/1'));
      await a.store.put('door', 'two', door('/2'));
      await a.redis.set('{hence}:revision', 1);
      await a.store.refresh();
      expect(a.store.status().lost).to.equal('rolled back');
      expect((await faultFrom(a.store.delete('door', 'one'))).code).to.equal('unavailable');
      await a.redis.set('{hence}:revision', 2);
      await a.store.refresh();
      expect(a.store.status()).to.not.have.property('lost');
      await a.store.put('door', 'three', door('/3'));
      expect(a.store.revision).to.equal(3);
    });

    it('may be absent at the start: the store loads when it comes', async () => {
      const own = await startRedis({ args: ['--appendonly', 'yes'] });
      try {
        const first = await openStore(own.path);
        await first.store.put('door', 'one', door('/1'));
        await first.close();
        await own.kill();
        const late = await openStore(own.path, { start: false });
        const started = late.store.start();
        const fault = await faultFrom(late.store.put('door', 'x', door('/x')));
        expect(fault).to.include({ code: 'unavailable' });
        expect(late.store.status()).to.include({ loaded: false, up: false });
        await own.restart();
        await started;
        expect(late.store.get('door', 'one')?.revision).to.equal(1);
        await late.close();
      } finally {
        await own.stop();
      }
    });

    it('ends a start that waits for it when the store is stopped', async () => {
      const never = await openStore('/nonexistent/hence.sock', { start: false });
      const started = faultFrom(never.store.start());
      await never.close();
      expect((await started).message).to.equal('Definitions: stopped before they loaded');
    });

    it('may be killed and started again: both processes go on, edits and notices included', async () => {
      const own = await startRedis({ args: ['--appendonly', 'yes', '--appendfsync', 'always'] });
      const [a, b] = [await openStore(own.path), await openStore(own.path)];
      try {
        await a.store.put('door', 'one', door('/1'));
        await until(() => b.store.get('door', 'one') !== undefined);
        await own.kill();
        await until(() => !a.store.status().up && !b.store.status().up);
        expect(b.store.get('door', 'one')?.revision).to.equal(1);
        const fault = await faultFrom(a.store.put('door', 'two', door('/2')));
        expect(fault.code).to.equal('unavailable');
        await own.restart();
        await until(() => a.store.status().up && b.store.status().up);
        await a.store.put('door', 'three', door('/3'));
        await until(() => b.store.get('door', 'three') !== undefined);
        expect(a.store.status()).to.not.have.property('lost');
      } finally {
        await Promise.all([a.close(), b.close()]);
        await own.stop();
      }
    });

    it('that has forgotten the scripts is given them again', async () => {
      const { store, redis } = await opened();
      await store.put('door', 'one', door('/1'));
      await redis.script('FLUSH');
      await store.put('door', 'two', door('/2'));
      expect(store.revision).to.equal(2);
    });
  });

  it('may be started and stopped twice', async () => {
    const { store, close } = await openStore(server.path);
    await store.start();
    await store.stop();
    await store.stop();
    await store.start();
    await store.put('door', 'again', door('/again'));
    await close();
    expect(store.revision).to.equal(1);
  });

  it('keeps every key under one hash tag, of its own namespace', async () => {
    const a = await opened();
    const other = await opened({ namespace: 'second' });
    await a.store.put('door', 'one', door('/1'));
    await other.store.put('door', 'one', door('/1'));
    const keys = await a.redis.keys('*');
    expect(keys.every((key) => /^\{(hence|second)\}:/.test(key))).to.equal(true);
    expect(other.store.revision).to.equal(1);
  });
});

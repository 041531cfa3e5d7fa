import { expect } from 'chai';
import { RouteFeed } from '../../runtime/pubsub/route-feed.ts';
import { RouteTable, type SubscriptionDefinition } from '../../runtime/pubsub/route-table.ts';
import { subscriptionType } from '../../runtime/pubsub/subscription-definition.ts';

const { schema } = subscriptionType();

function defined(name: string, spec: object): SubscriptionDefinition {
  const given = { security: name, subKey: `sk-${name}`, ...spec };
  return { name, spec: schema.parse(given) };
}

const made = (subKey: string, ...topics: string[]) => ({
  subKey,
  topics,
  facts: { service: 'a.b' },
  push: true,
});

const keys = (table: RouteTable, topic: string) =>
  table
    .match(topic)
    .map(({ subKey }) => subKey)
    .sort();

/** All that can be asked of a table. */
const seenOf = (table: RouteTable, names: readonly string[]) => ({
  topics: ['t', 'u', 't.a', 'u.x', 'z'].map((topic) => keys(table, topic)),
  routes: names.map((name) => table.get(`sk-${name}`)?.definition?.spec),
  readers: names.map((name) => table.bySecurity(name)?.subKey),
  all: table
    .list()
    .map(({ subKey }) => subKey)
    .sort(),
});

describe('RouteTable', () => {
  it('has nothing at first', () => {
    const table = new RouteTable();
    expect(table.revision).to.equal(0);
    expect(table.match('a')).to.deep.equal([]);
    expect(table.list()).to.deep.equal([]);
  });

  it('finds each subscription of a topic once', () => {
    const table = RouteTable.of(
      [
        defined('exact', { topics: ['orders.new', 'other'] }),
        defined('wild', { topics: ['orders.*', '**', 'orders.new'] }),
        defined('open', { topics: ['*.new'] }),
        defined('away', { topics: ['orders.old', 'ordersx.*'] }),
      ],
      7,
    );
    expect(table.revision).to.equal(7);
    expect(keys(table, 'orders.new')).to.deep.equal(['sk-exact', 'sk-open', 'sk-wild']);
    expect(keys(table, 'other')).to.deep.equal(['sk-exact', 'sk-wild']);
    expect(keys(table, 'orders')).to.deep.equal(['sk-wild']);
    expect(keys(table, 'constructor')).to.deep.equal(['sk-wild']);
    expect(table.match('orders.new')).to.equal(table.match('orders.new'));
  });

  it('says of each route what publishing must know', () => {
    const table = RouteTable.of(
      [
        defined('a', { topics: ['t'], maxDepth: 5, whenFull: 'drop' }),
        defined('b', { topics: ['t'], service: 's.t', security: undefined }),
      ],
      1,
    );
    expect(table.get('sk-a')).to.deep.include({ push: false, maxDepth: 5, whenFull: 'drop' });
    expect(table.get('sk-b')).to.deep.include({ push: true, whenFull: 'refuse' });
    expect(table.get('sk-b')?.definition?.name).to.equal('b');
    expect(table.get('sk-c')).to.equal(undefined);
  });

  it('publishes nothing to a disabled subscription, whose queue still is its own', () => {
    const table = RouteTable.of(
      [
        defined('off', { topics: ['t', '*'], enabled: false }),
        defined('paused', { topics: ['t'], paused: true }),
      ],
      1,
    );
    expect(keys(table, 't')).to.deep.equal(['sk-paused']);
    expect(table.get('sk-off')?.enabled).to.equal(false);
    expect(table.list().map(({ subKey }) => subKey)).to.have.members(['sk-off', 'sk-paused']);
    expect(table.bySecurity('off')).to.equal(undefined);
  });

  it('knows the pull subscription of a security definition', () => {
    const table = RouteTable.of(
      [defined('reader', { topics: ['t'] }), defined('pushed', { topics: ['t'], service: 's.t' })],
      1,
    );
    expect(table.bySecurity('reader')?.subKey).to.equal('sk-reader');
    expect(table.bySecurity('pushed')).to.equal(undefined);
  });

  it('adds what programs made, and puts others in their place', () => {
    const base = RouteTable.of([defined('a', { topics: ['zato.s.to.a.b', 't'] })], 3);
    const first = base.withMade([made('zato.service.a.b', 'zato.s.to.a.b'), made('w', 't*')]);
    expect(first.revision).to.equal(3);
    expect(keys(first, 'zato.s.to.a.b')).to.deep.equal(['sk-a', 'zato.service.a.b']);
    expect(keys(first, 't')).to.deep.equal(['sk-a', 'w']);
    expect(first.get('w')?.facts).to.deep.equal({ service: 'a.b' });
    const second = first.withMade([made('v', 't')]);
    expect(keys(second, 't')).to.deep.equal(['sk-a', 'v']);
    expect(second.get('w')).to.equal(undefined);
    expect(keys(first, 't')).to.deep.equal(['sk-a', 'w']);
    expect(base.get('w')).to.equal(undefined);
  });

  it('gives topics of the runtime to those who name them only', () => {
    const table = RouteTable.of(
      [
        defined('all', { topics: ['**', '*.s.**', 'z**'] }),
        defined('one', { topics: ['zato.s.to.a'] }),
      ],
      1,
    ).withMade([made('prefix', 'zato.s.**')]);
    expect(keys(table, 'zato.s.to.a')).to.deep.equal(['prefix', 'sk-one']);
    expect(keys(table, 'zatox')).to.deep.equal(['sk-all']);
  });

  it('takes single edits in, and ends where a new table would', () => {
    const names = ['a', 'b', 'c', 'd'];
    const topics = ['t', 'u', 't.*', '**', 'u.x'];
    let seed = 42;
    const pick = (below: number) => {
      seed = (seed * 1_103_515_245 + 12_345) % 2 ** 31;
      return Math.floor((seed / 2 ** 31) * below);
    };
    const state = new Map<string, SubscriptionDefinition>();
    let table = new RouteTable();
    for (let revision = 1; revision <= 300; revision++) {
      const name = names[pick(names.length)] ?? 'a';
      const before = state.get(name);
      const gone = before !== undefined && pick(4) === 0;
      const after = defined(name, {
        topics: [topics[pick(5)], topics[pick(5)]],
        enabled: pick(5) > 0,
        ...(pick(2) ? { service: 's.t' } : {}),
      });
      if (gone) state.delete(name);
      else state.set(name, after);
      table = table.change([{ ...(before && { before }), ...(gone ? {} : { after }) }], revision);
      const fresh = RouteTable.of([...state.values()], revision);
      expect(seenOf(table, names), `edit ${revision}`).to.deep.equal(seenOf(fresh, names));
    }
  });

  it('keeps the queue of a renamed subscription', () => {
    const before = defined('old', { topics: ['t'], security: 'u' });
    const after = { name: 'new', spec: before.spec };
    const table = RouteTable.of([before], 1).change([{ before }, { after }], 2);
    expect(keys(table, 't')).to.deep.equal(['sk-old']);
    expect(table.get('sk-old')?.definition?.name).to.equal('new');
    expect(table.bySecurity('u')?.definition?.name).to.equal('new');
  });

  it('stays fast with 10,000 topics, 10,000 subscriptions and 1,000 wildcards', () => {
    const definitions = Array.from({ length: 10_000 }, (_, at) =>
      defined(`s${at}`, {
        topics: at % 10 === 0 ? [`orders.*.${at}`, `*.${at}.**`] : [`orders.new.${at}`],
      }),
    );
    const specs = definitions.map(({ spec }) => spec);
    // What it costs to look at each of them once.
    const plainMs = best(5, () => new Map(specs.map((spec) => [spec.topics[0], [spec.subKey]])));
    let table = new RouteTable();
    const buildMs = best(3, () => {
      table = RouteTable.of(definitions, 1);
    });
    let topic = 0;
    const coldMs = best(50, () => table.match(`orders.new.${topic++}`));
    const warmMs = best(50, () => table.match('orders.new.1'));
    const [before] = definitions;
    const after = defined('s0', { topics: ['orders.changed'] });
    const editMs = best(5, () => table.change([{ ...(before && { before }), after }], 2));
    expect(buildMs).to.be.lessThan(100);
    expect(buildMs / Math.max(plainMs, 1)).to.be.lessThan(60);
    expect(coldMs).to.be.lessThan(1);
    expect(warmMs).to.be.lessThan(0.1);
    expect(editMs).to.be.lessThan(10);
  });

  it('gives the same after more topics than it remembers', () => {
    const table = RouteTable.of([defined('a', { topics: ['t'] })], 1);
    const found = table.match('t');
    for (let at = 0; at < 10_001; at++) table.match(`other.${at}`);
    expect(table.match('t')).not.to.equal(found);
    expect(table.match('t')).to.deep.equal(found);
  });

  it('holds 10,000 subscriptions of one topic', () => {
    const definitions = Array.from({ length: 10_000 }, (_, at) =>
      defined(`s${at}`, { topics: ['t'] }),
    );
    let table = new RouteTable();
    const buildMs = best(1, () => {
      table = RouteTable.of(definitions, 1);
    });
    expect(buildMs).to.be.lessThan(500);
    expect(table.match('t').length).to.equal(10_000);
  });
});

describe('RouteFeed', () => {
  it('follows the revision of the definitions, though other types were edited', async () => {
    let revision = 4;
    let refreshed = 0;
    const feed = new RouteFeed({
      revision: () => revision,
      refresh: async () => {
        refreshed++;
        revision = 9;
      },
    });
    feed.learn([made('w', 'u')]);
    const one = defined('a', { topics: ['t'] });
    feed.load([one]);
    expect(feed.routes.revision).to.equal(4);
    const found = feed.routes.match('t');
    await feed.refresh();
    expect({ refreshed, revision: feed.routes.revision }).to.deep.equal({
      refreshed: 1,
      revision: 9,
    });
    expect(feed.routes.match('t')).to.equal(found);
    expect(keys(feed.routes, 'u')).to.deep.equal(['w']);
    feed.change([{ before: one, after: defined('a', { topics: ['u'] }) }]);
    expect(keys(feed.routes, 'u')).to.deep.equal(['sk-a', 'w']);
    expect(keys(feed.routes, 't')).to.deep.equal([]);
    feed.learn([]);
    expect(keys(feed.routes, 'u')).to.deep.equal(['sk-a']);
  });
});

function best(rounds: number, work: () => unknown): number {
  let least = Number.POSITIVE_INFINITY;
  for (let round = 0; round < rounds; round++) {
    const start = performance.now();
    work();
    least = Math.min(least, performance.now() - start);
  }
  return least;
}

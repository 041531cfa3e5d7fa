import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'chai';
import fc from 'fast-check';
import type { Delivery, MessageState } from '../../runtime/pubsub/message.ts';
import { jsonOf, openBroker, pull, type TestBroker } from '../support/broker.ts';
import { startRedis, type TestRedis } from '../support/redis.ts';
import { rejection } from '../support/rejection.ts';

/** `npm run soak` makes more of them. */
const runs = Number(process.env['HENCE_SOAK_RUNS'] ?? 80);
const maxDeliveries = 3;
const longMs = 600_000;
const briefMs = 25;
/** A command is not begun so shortly before something is due. */
const guardMs = 8;

const topicsOf: Readonly<Record<string, readonly string[]>> = {
  one: ['a', 'b'],
  two: ['a'],
  three: ['*'],
};
const names = Object.keys(topicsOf);
const states = ['waiting', 'leased', 'delayed', 'dead'] as const;

/** One message in one queue. */
interface Entry {
  readonly id: number;
  readonly msgId: string;
  readonly topic: string;
  readonly givenId: string | undefined;
  readonly priority: number;
  readonly expiresAt: number;
  state: MessageState;
  deliveries: number;
  failures: number;
  /** Of its lease or its delay. */
  until: number;
  token: string;
  /** By the id its publisher gave it. */
  findable: boolean;
  /** Driven again: it expires no more. */
  kept: boolean;
  /** Its time was over while it was leased: nothing but the end of its lease and its delay is left to come. */
  overdue: boolean;
}

/** What the broker should be: queues in memory, and a clock that is told the time. */
class Model {
  readonly queues = new Map<string, Entry[]>();
  /** Every lease there ever was. */
  readonly leases: { readonly sub: string; readonly delivery: Delivery }[] = [];
  published = 0;
  now = 0;

  in(sub: string, state: MessageState): Entry[] {
    return (this.queues.get(sub) ?? []).filter((entry) => entry.state === state);
  }

  waiting(sub: string): Entry[] {
    return this.in(sub, 'waiting').sort(
      (one, other) => other.priority - one.priority || one.id - other.id,
    );
  }

  /** Who holds this lease, if it is still held. */
  held(sub: string, { message, token }: Delivery): Entry | undefined {
    return this.in(sub, 'leased').find(
      (entry) => entry.msgId === message.msgId && entry.token === token,
    );
  }

  leave(sub: string, entry: Entry): void {
    const queue = this.queues.get(sub) ?? [];
    this.queues.set(
      sub,
      queue.filter((other) => other !== entry),
    );
  }

  /** In its own place again, or gone when its time is over. */
  back(sub: string, entry: Entry): void {
    entry.state = 'waiting';
    if (!entry.kept && entry.expiresAt <= this.now) this.leave(sub, entry);
  }

  due(): number[] {
    return [...this.queues.values()].flat().flatMap((entry) => {
      const ends = entry.state === 'leased' || entry.state === 'delayed' ? [entry.until] : [];
      const lives = entry.kept || entry.state === 'dead' || entry.expiresAt <= this.now;
      return lives ? ends : [...ends, entry.expiresAt];
    });
  }

  settle(): void {
    for (const [sub, queue] of this.queues) for (const entry of queue) this.#settle(sub, entry);
  }

  #settle(sub: string, entry: Entry): void {
    const over = !entry.kept && entry.expiresAt <= this.now;
    if (entry.state === 'leased' && entry.until <= this.now) {
      entry.failures += 1;
      if (entry.failures >= maxDeliveries) entry.state = 'dead';
      else this.back(sub, entry);
    } else if (entry.state === 'leased') entry.overdue ||= over;
    else if (entry.state === 'delayed' && entry.until <= this.now) this.back(sub, entry);
    else if (over && !entry.overdue && entry.state !== 'dead') this.leave(sub, entry);
  }

  /** How many queues hold each message. */
  references(): ReadonlyMap<number, number> {
    const counts = new Map<number, number>();
    for (const { id } of [...this.queues.values()].flat())
      counts.set(id, (counts.get(id) ?? 0) + 1);
    return counts;
  }
}

class Command implements fc.AsyncCommand<Model, TestBroker> {
  readonly #name: string;
  readonly #run: (model: Model, test: TestBroker) => Promise<void>;

  constructor(name: string, run: (model: Model, test: TestBroker) => Promise<void>) {
    this.#name = name;
    this.#run = run;
  }

  check(): boolean {
    return true;
  }

  async run(model: Model, test: TestBroker): Promise<void> {
    await catchUp(model, test);
    const due = model.due();
    let failed: unknown;
    try {
      await this.#run(model, test);
      await compare(model, test);
    } catch (error) {
      failed = error;
    }
    // Something came due in the middle of it: nobody can say what should have happened.
    const end = await timeOf(test);
    fc.pre([...due, ...model.due()].every((at) => at > end || at <= model.now));
    if (failed !== undefined) throw failed;
  }

  toString(): string {
    return this.#name;
  }
}

/** Nothing is due now, nor will be while one command runs. */
async function catchUp(model: Model, test: TestBroker): Promise<void> {
  for (;;) {
    model.now = await timeOf(test);
    const next = Math.min(...model.due().filter((at) => at > model.now));
    if (next > model.now + guardMs) break;
    await sleep(next - model.now + 1);
  }
  await test.broker.tend();
  model.settle();
}

async function timeOf({ redis }: TestBroker): Promise<number> {
  const [seconds, us] = await redis.time();
  return Number(seconds) * 1_000 + Math.floor(Number(us) / 1_000);
}

/** Each message is in one state of each queue it should be in, and kept once for all of them. */
async function compare(model: Model, { broker, redis }: TestBroker): Promise<void> {
  const depths = await broker.depth(names);
  for (const [at, sub] of names.entries()) {
    for (const state of states) {
      expect(depths[at]?.[state], `${state} of ${sub}`).to.equal(model.in(sub, state).length);
    }
  }
  const counts = [...model.references().values()];
  expect(await redis.hlen('{hence}:ps:msgs')).to.equal(counts.length);
  expect((await redis.hvals('{hence}:ps:refs')).map(Number).sort()).to.deep.equal(
    counts.filter((count) => count > 1).sort(),
  );
}

const subKey = fc.constantFrom(...names);
const which = fc.nat({ max: 1_000 });

function pick<T>(items: readonly T[], n: number): T | undefined {
  return items[n % Math.max(1, items.length)];
}

const publish = fc
  .record({
    topic: fc.constantFrom('a', 'b', 'c'),
    priority: fc.constantFrom(0, 5, 9),
    expirationMs: fc.constantFrom(briefMs, longMs, 40 * 86_400_000),
    givenId: fc.constantFrom(undefined, undefined, 'mine', 'his'),
  })
  .map(
    ({ topic, givenId, ...meta }) =>
      new Command(`publish to ${topic} ${JSON.stringify(meta)}`, async (model, test) => {
        const id = model.published;
        model.published += 1;
        const given = givenId === undefined ? {} : { givenId };
        const sent = await test.publish(topic, id, { ...meta, ...given });
        const into = [...model.queues].filter(([name]) =>
          topicsOf[name]?.some((pattern) => pattern === '*' || pattern === topic),
        );
        expect(sent.queues).to.equal(into.length);
        for (const [, queue] of into) {
          queue.push({
            ...{ id, msgId: sent.msgId, topic, givenId, priority: meta.priority },
            expiresAt: sent.receivedAt + meta.expirationMs,
            ...{ state: 'waiting', deliveries: 0, failures: 0, until: 0, token: '' },
            ...{ kept: false, overdue: false, findable: false },
          });
        }
      }),
  );

const take = fc
  .record({
    sub: subKey,
    max: fc.integer({ min: 1, max: 4 }),
    leaseMs: fc.constantFrom(briefMs, longMs, Number.POSITIVE_INFINITY),
    maxInflight: fc.constantFrom(2, 1_000),
    newestFirst: fc.boolean(),
    topic: fc.constantFrom(undefined, undefined, 'a', 'b'),
  })
  .map(
    ({ sub: name, topic, ...options }) =>
      new Command(`take ${topic} of ${name} ${JSON.stringify(options)}`, async (model, test) => {
        const of = topic === undefined ? {} : { topic };
        const taken = await test.broker.take(name, { ...options, ...of, maxDeliveries });
        const room = Math.max(0, options.maxInflight - model.in(name, 'leased').length);
        const queue = model.waiting(name);
        if (options.newestFirst) queue.reverse();
        const wanted = queue.filter((entry) => topic === undefined || entry.topic === topic);
        const expected = wanted.slice(0, Math.min(options.max, room));
        const choosy = topic !== undefined || options.newestFirst;
        expect(taken.map(({ message }) => jsonOf(message))).to.deep.equal(
          expected.map(({ id }) => id),
        );
        const { items } = await test.broker.browse(name, { state: 'leased' });
        for (const [at, entry] of expected.entries()) {
          const delivery = taken[at];
          if (!delivery) continue;
          entry.state = 'leased';
          entry.findable = choosy;
          entry.deliveries += 1;
          entry.token = delivery.token;
          entry.until = items.find(({ message }) => message.msgId === entry.msgId)?.at ?? 0;
          expect(delivery).to.include({ deliveries: entry.deliveries, failures: entry.failures });
          model.leases.push({ sub: name, delivery });
        }
      }),
  );

const ack = which.map(
  (n) =>
    new Command(`ack lease ${n}`, async (model, { broker }) => {
      const lease = pick(model.leases, n);
      if (!lease) return;
      const entry = model.held(lease.sub, lease.delivery);
      expect(await broker.ack(lease.sub, [lease.delivery])).to.deep.equal([entry !== undefined]);
      if (entry) model.leave(lease.sub, entry);
    }),
);

const find = subKey.map(
  (name) =>
    new Command(`leases of ${name}`, async (model, { broker }) => {
      const leased = model.in(name, 'leased').sort((one, other) => one.id - other.id);
      const ids = (model.queues.get(name) ?? []).map(({ msgId }) => msgId);
      const asked = [...ids, 'mine', 'his', 'nobody'];
      const expected = asked.map((id) =>
        leased.find((one) => one.msgId === id || (one.findable && one.givenId === id)),
      );
      const found = await broker.leases(name, asked);
      expect(found.map((lease) => lease && [lease.message.msgId, lease.token])).to.deep.equal(
        expected.map((entry) => entry && [entry.msgId, entry.token]),
      );
    }),
);

const extend = fc.tuple(which, fc.constantFrom(briefMs, longMs)).map(
  ([n, leaseMs]) =>
    new Command(`extend lease ${n} by ${leaseMs}`, async (model, { broker }) => {
      const lease = pick(model.leases, n);
      if (!lease) return;
      const entry = model.held(lease.sub, lease.delivery);
      const extended = await broker.extend(lease.sub, [lease.delivery], leaseMs);
      expect(extended).to.deep.equal([entry !== undefined]);
      if (entry) entry.until = await placeOf(broker, lease.sub, entry);
    }),
);

const reject = fc
  .tuple(
    which,
    fc.record({
      delayMs: fc.constantFrom(0, briefMs, longMs),
      dead: fc.constantFrom('', '', 'no "good"'),
      countFailure: fc.boolean(),
      reason: fc.constantFrom('', 'a|b\n"c"'),
    }),
  )
  .map(
    ([n, what]) =>
      new Command(`reject lease ${n} ${JSON.stringify(what)}`, async (model, { broker }) => {
        const lease = pick(model.leases, n);
        if (!lease) return;
        const { sub: name, delivery } = lease;
        const entry = model.held(name, delivery);
        const [outcome] = await broker.reject(name, [{ ...delivery, ...what, maxDeliveries }]);
        expect(outcome).to.equal(entry ? rejected(model, name, { entry, ...what }) : 'gone');
        if (entry?.state === 'delayed') entry.until = await placeOf(broker, name, entry);
      }),
  );

interface Rejected {
  readonly entry: Entry;
  readonly delayMs: number;
  readonly dead: string;
  readonly countFailure: boolean;
}

function rejected(model: Model, name: string, { entry, ...what }: Rejected): string {
  if (what.countFailure) entry.failures += 1;
  const used = what.countFailure && entry.failures >= maxDeliveries;
  if (what.dead !== '' || used) {
    entry.state = 'dead';
    return 'dead';
  }
  if (what.delayMs > 0) {
    entry.state = 'delayed';
    return 'delayed';
  }
  model.back(name, entry);
  return 'waiting';
}

const passing = fc.constant(
  new Command('time passes', async (model, test) => {
    const soon = model.due().filter((at) => at < model.now + longMs / 2);
    if (soon.length === 0) return;
    await sleep(Math.max(...soon) - model.now + 1);
    await catchUp(model, test);
  }),
);

const purge = fc.tuple(subKey, fc.constantFrom('waiting', 'delayed', 'dead')).map(
  ([name, state]) =>
    new Command(`purge ${state} of ${name}`, async (model, { broker }) => {
      const gone = model.in(name, state);
      expect(await broker.purge(name, { state })).to.equal(gone.length);
      for (const entry of gone) model.leave(name, entry);
    }),
);

const remove = fc.tuple(subKey, which).map(
  ([name, n]) =>
    new Command(`remove ${n} of ${name}`, async (model, { broker }) => {
      const entry = pick(model.queues.get(name) ?? [], n);
      if (!entry) return;
      if (entry.state === 'leased') {
        expect(await rejection(broker.remove(name, entry.msgId))).to.include({ code: 'conflict' });
        return;
      }
      expect(await broker.remove(name, entry.msgId)).to.equal(true);
      model.leave(name, entry);
      expect(await broker.remove(name, entry.msgId)).to.equal(false);
    }),
);

const redrive = fc.tuple(subKey, fc.option(which, { freq: 2 })).map(
  ([name, n]) =>
    new Command(`redrive ${n ?? 'all'} of ${name}`, async (model, { broker }) => {
      const dead = model.in(name, 'dead');
      const one = n === null ? undefined : pick(dead, n);
      const driven = n === null ? dead : one ? [one] : [];
      const options = n === null ? {} : { msgIds: driven.map(({ msgId }) => msgId) };
      expect(await broker.redrive(name, options)).to.equal(driven.length);
      for (const entry of driven) {
        Object.assign(entry, { state: 'waiting', failures: 0, kept: true });
      }
    }),
);

const toggle = subKey.map(
  (name) =>
    new Command(`subscribe or unsubscribe ${name}`, async (model, { broker }) => {
      if (model.queues.delete(name)) {
        expect(await broker.unsubscribe(name)).to.equal(true);
        return;
      }
      await broker.subscribe(pull(name, ...(topicsOf[name] ?? [])));
      model.queues.set(name, []);
    }),
);

async function placeOf(
  broker: TestBroker['broker'],
  name: string,
  { msgId, state }: Entry,
): Promise<number> {
  const { items } = await broker.browse(name, { state, limit: 1_000 });
  return items.find(({ message }) => message.msgId === msgId)?.at ?? 0;
}

describe('Broker, against a model in memory', () => {
  let server: TestRedis;
  let test: TestBroker;

  before(async () => {
    server = await startRedis();
    test = await openBroker(server.path);
  });

  after(async () => {
    test.close();
    await server.stop();
  });

  const begin = async () => {
    for (const name of names) await test.broker.unsubscribe(name);
    const model = new Model();
    for (const name of names) {
      await test.broker.subscribe(pull(name, ...(topicsOf[name] ?? [])));
      model.queues.set(name, []);
    }
    return model;
  };

  /** What is there, in its order. */
  const compareAll = async (model: Model) => {
    await catchUp(model, test);
    for (const name of names) {
      for (const state of states) {
        const { items } = await test.broker.browse(name, { state, limit: 1_000 });
        const found = items.map(({ message, deliveries, failures }) => {
          return `${String(jsonOf(message))} ${deliveries} ${failures}`;
        });
        const entries = state === 'waiting' ? model.waiting(name) : model.in(name, state);
        const expected = entries.map((one) => `${one.id} ${one.deliveries} ${one.failures}`);
        if (state === 'waiting') expect(found, `waiting of ${name}`).to.deep.equal(expected);
        else expect(found, `${state} of ${name}`).to.have.members(expected);
      }
    }
  };

  const leftovers = async () => {
    const keys = await test.redis.keys('*');
    const lasting = ['ps:seq', 'ps:leases', 'ps:subs:rev', 'ps:topics', 'ps:topics:last'];
    return keys.filter((key) => !lasting.includes(key.replace('{hence}:', '')));
  };

  it('keeps each message in one state of each queue, in order, and nothing else', async function () {
    this.timeout(Math.max(60_000, runs * 500));
    const commands = fc.commands(
      [
        publish,
        publish,
        publish,
        take,
        take,
        ack,
        extend,
        reject,
        reject,
        passing,
        purge,
        remove,
      ].concat([redrive, toggle, find, find]),
      { maxCommands: 60, size: 'max' },
    );
    await fc.assert(
      fc.asyncProperty(commands, async (list) => {
        const model = await begin();
        await fc.asyncModelRun(() => ({ model, real: test }), list);
        await compareAll(model);
        for (const name of names) await test.broker.unsubscribe(name);
        expect(await leftovers()).to.deep.equal([]);
      }),
      { numRuns: runs, endOnFailure: false, interruptAfterTimeLimit: Math.max(30_000, runs * 400) },
    );
  });
});

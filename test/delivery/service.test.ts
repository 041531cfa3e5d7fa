import { expect } from 'chai';
import { Fault } from '../../runtime/core/fault.ts';
import { startRedis, type TestRedis } from '../support/redis.ts';
import { until } from '../support/until.ts';
import { type Delivering, type DeliveringOptions, delivering, type Handle } from './fixture.ts';

describe('deliveries to services', () => {
  let server: TestRedis;
  let nodes: Delivering[] = [];

  const open = async (handle: Handle, more: DeliveringOptions = {}) => {
    const node = await delivering(server.path, { services: { work: handle }, ...more });
    nodes.push(node);
    return node;
  };
  const publishAll = async (node: Delivering, topic: string, values: readonly unknown[]) => {
    for (const value of values) await node.publish(topic, value);
  };
  const upTo = (count: number) => Array.from({ length: count }, (_, at) => at);

  before(async () => {
    server = await startRedis();
  });

  afterEach(async () => {
    await Promise.all(nodes.map((node) => node.stop()));
    nodes = [];
    // Empty again: it keeps nothing on disk.
    await server.restart();
  });

  after(() => server.stop());

  it('bring each message once, whole', async () => {
    const got: unknown[] = [];
    const node = await open((value, { deliveries, failures, message: { topic, cid, hops } }) => {
      got.push({ value, deliveries, failures, topic, cid, hops });
    });
    await node.subscribe('orders');
    await node.publish('orders', { id: 1 }, { hops: 3 });
    await until(() => node.drained('orders'));
    expect(got).to.deep.equal([
      { value: { id: 1 }, deliveries: 1, failures: 0, topic: 'orders', cid: 'cid-1', hops: 3 },
    ]);
    expect(node.notes.map(({ step }) => step)).to.deep.equal(['delivered']);
  });

  it('bring what was published while nobody delivered, and what comes while the last drain ends', async () => {
    const got = new Set<unknown>();
    const node = await open((value) => got.add(value));
    await node.subscribe('a');
    for (let round = 0; round < 60; round++) {
      await node.publish('a', round);
      // Ever closer to, and past, the moment the drain ends.
      if (round % 3 === 0) await until(() => got.has(round));
    }
    await until(() => got.size === 60, 3_000);
  });

  it('run as many at once as the subscription says, and no more', async () => {
    let running = 0;
    let most = 0;
    const node = await open(async () => {
      running++;
      most = Math.max(most, running);
      await new Promise((resolve) => setTimeout(resolve, 20));
      running--;
    });
    await node.subscribe('a', { concurrency: 4 });
    await Promise.all(upTo(24).map((value) => node.publish('a', value)));
    await until(() => node.drained('a'));
    expect(most).to.equal(4);
  });

  it('have one drain of a subscription over all processes', async () => {
    let running = 0;
    let most = 0;
    const handle = async () => {
      running++;
      most = Math.max(most, running);
      await new Promise((resolve) => setTimeout(resolve, 5));
      running--;
    };
    const one = await open(handle);
    const other = await open(handle);
    await one.subscribe('a', { concurrency: 2 });
    other.set('a', { concurrency: 2 });
    await Promise.all(upTo(60).map((at) => (at % 2 ? one : other).publish('a', at)));
    await until(() => one.drained('a'));
    expect(most).to.equal(2);
  });

  it('share the places: a busy subscription lets the others have theirs', async () => {
    const got: string[] = [];
    const node = await open(
      async (value) => {
        got.push(String(value));
        await new Promise((resolve) => setTimeout(resolve, 10));
      },
      { runner: { concurrency: 1, sliceMs: 100 }, broker: {} },
    );
    const keys = ['busy', ...upTo(8).map((at) => `idle-${at}`)];
    for (const key of keys) await node.subscribe(key, { concurrency: 1, batch: 10 });
    await Promise.all(upTo(200).map(() => node.publish('busy', 'busy')));
    await Promise.all(keys.slice(1).map((key) => node.publish(key, key)));
    await until(() => keys.slice(1).every((key) => got.includes(key)), 2_000);
    expect(got.filter((each) => each === 'busy').length).to.be.below(200);
  });

  it('that throw are repeated by the schedule, and dead letters after the last: F50', async () => {
    const attempts: number[] = [];
    const got = new Set<unknown>();
    const node = await open((value, { deliveries }) => {
      if (value === 'poison') {
        attempts.push(deliveries);
        throw new TypeError('cannot read it');
      }
      got.add(value);
    });
    await node.subscribe('a', { maxDeliveries: 3, retryMs: [20, 40] });
    const values = upTo(500);
    await Promise.all(
      [...values.slice(0, 250), 'poison', ...values.slice(250)].map((value) =>
        node.publish('a', value),
      ),
    );
    const letters = await until(async () => {
      const found = await node.dead('a');
      return found.length > 0 && found;
    });
    expect(letters).to.deep.equal([
      { value: 'poison', reason: 'max-deliveries', lastError: 'TypeError: cannot read it' },
    ]);
    expect(attempts).to.deep.equal([1, 2, 3]);
    await until(() => node.drained('a'));
    expect(got.size).to.equal(500);
    const steps = node.notes.filter(({ facts }) => facts['error']).map(({ step }) => step);
    expect(steps).to.deep.equal(['attempt', 'attempt', 'attempt', 'dead']);
    expect(node.log.lines.some(({ message }) => message === 'message is a dead letter')).to.equal(
      true,
    );
  });

  it('that hang are failed attempts after their time, and free the place: F41', async () => {
    let attempts = 0;
    const aborted: boolean[] = [];
    const node = await open((_value, _delivery, { signal }) => {
      attempts++;
      signal.addEventListener('abort', () => aborted.push(true));
      return new Promise(() => {});
    });
    await node.subscribe('a', { timeoutMs: 60, maxDeliveries: 2, retryMs: [10] });
    await node.publish('a', 1);
    const [letter] = await until(async () => {
      const found = await node.dead('a');
      return found.length > 0 && found;
    });
    expect(letter?.lastError).to.equal('timeout: the delivery did not end in 60 ms');
    expect(attempts).to.equal(2);
    expect(aborted).to.deep.equal([true, true]);
  });

  it('that take longer than a lease keep it', async () => {
    let calls = 0;
    const node = await open(
      async () => {
        calls++;
        await new Promise((resolve) => setTimeout(resolve, 1_500));
      },
      { runner: { lockMs: 1_000 } },
    );
    await node.subscribe('a', { leaseMs: 900 });
    await node.publish('a', 1);
    await until(() => node.drained('a'));
    expect(calls).to.equal(1);
  });

  it('wait for a service that does not exist yet, and count no attempt', async () => {
    const services: Record<string, Handle> = {};
    const node = await delivering(server.path, { services });
    nodes.push(node);
    await node.subscribe('a');
    await node.publish('a', 1);
    await until(async () => (await node.broker.depth(['a']))[0]?.waiting === 1);
    let deliveries = 0;
    services['work'] = (_value, call) => {
      deliveries = call.deliveries;
    };
    node.queues.wake(['a']);
    await until(() => deliveries > 0);
    expect(deliveries).to.equal(1);
  });

  it('stop when the subscription is paused, within its batch, and go on when it is resumed', async () => {
    const got: unknown[] = [];
    const node = await open((value) => {
      got.push(value);
      if (got.length === 5) node.set('a', { paused: true });
    });
    await node.subscribe('a', { concurrency: 1, paused: true });
    await publishAll(node, 'a', upTo(40));
    node.set('a', { paused: false });
    await node.broker.wake(['a']);
    await until(() => got.length === 5);
    await until(async () => (await node.broker.depth(['a']))[0]?.leased === 0);
    expect((await node.broker.depth(['a']))[0]).to.include({ waiting: 35, dead: 0 });
    node.set('a', { paused: false });
    await node.broker.wake(['a']);
    await until(() => node.drained('a'));
    expect(got).to.deep.equal(upTo(40));
  });

  it('in order are repeated before any later one, also by another process', async () => {
    const got: unknown[] = [];
    let failures = 0;
    const handle: Handle = (value) => {
      if (value === 2 && failures < 3) {
        failures++;
        throw new Error('not now');
      }
      got.push(value);
    };
    const one = await open(handle);
    const other = await open(handle);
    for (const node of [one, other]) node.set('a', { ordered: true, retryMs: [150] });
    await one.subscribe('a', { ordered: true, retryMs: [150] });
    await publishAll(one, 'a', upTo(10));
    await one.queues.wake(['a']);
    // Wakes that come during the wait, from everywhere.
    await until(() => {
      other.queues.wake(['a']);
      one.queues.wake(['a']);
      return got.length === 10;
    });
    expect(got).to.deep.equal(upTo(10));
    expect(failures).to.equal(3);
  });

  it('in order go on behind a message that is dead, or was removed', async () => {
    const got: unknown[] = [];
    const node = await open((value) => {
      if (value === 'bad' || value === 'worse') throw new Error('no');
      got.push(value);
    });
    await node.subscribe('a', { ordered: true, maxDeliveries: 2, retryMs: [30] });
    await publishAll(node, 'a', ['bad', 1]);
    await until(() => got.length === 1);
    expect((await node.dead('a')).map(({ value }) => value)).to.deep.equal(['bad']);

    node.set('a', { retryMs: [60_000] });
    const { msgId } = await node.publish('a', 'worse');
    await node.publish('a', 2);
    await until(async () => (await node.broker.depth(['a']))[0]?.delayed === 1);
    expect(got).to.deep.equal([1]);
    await until(() => node.runner.active === 0);
    await node.broker.remove('a', msgId);
    node.queues.wake(['a']);
    await until(() => got.length === 2);
  });

  it('of a service that fails message after message wait for a probe, and count no attempts: F49', async () => {
    let healthy = false;
    const seen: number[] = [];
    const node = await open(
      (_value, { deliveries }) => {
        seen.push(deliveries);
        if (!healthy) throw new Fault('unavailable', 'database is away');
      },
      { runner: { breakerResetMs: 1_500 } },
    );
    await node.subscribe('a', { concurrency: 1, batch: 1, retryMs: [20] });
    await Promise.all(upTo(300).map((value) => node.publish('a', value)));
    await until(() => node.log.lines.some(({ message }) => message.includes('its messages wait')));
    await until(() => node.runner.active === 0);
    const before = seen.length;
    expect(before).to.be.within(5, 8);
    await until(() => seen.length > before);
    expect(seen.length).to.equal(before + 1);
    healthy = true;
    await until(() => node.drained('a'), 5_000);
    expect((await node.dead('a')).length).to.equal(0);
    expect(seen.length).to.equal(300 + before + 1);
  });

  it('wait as long as a fault of the service asks, and the others pass meanwhile', async () => {
    const got: unknown[] = [];
    const at: number[] = [];
    const node = await open((value) => {
      if (value === 'early' && at.push(Date.now()) === 1) {
        throw new Fault('too-many', 'not yet', { retryAfterMs: 500 });
      }
      got.push(value);
    });
    await node.subscribe('a', { retryMs: [5] });
    await publishAll(node, 'a', ['early', 1, 2]);
    await until(() => node.drained('a'));
    expect(got).to.deep.equal([1, 2, 'early']);
    expect(Number(at[1]) - Number(at[0])).to.be.at.least(490);
  });

  it('of one bad message open no breaker: the others pass', async () => {
    const got: unknown[] = [];
    const node = await open((value) => {
      if (value === 'bad') throw new Error('no');
      got.push(value);
    });
    await node.subscribe('a', { retryMs: [5], maxDeliveries: 8 });
    await node.publish('a', 'bad');
    await until(async () => (await node.dead('a')).length === 1);
    await node.publish('a', 1);
    await until(() => got.length === 1);
  });

  it('that have not begun go back when the process stops, and another one does them: F03', async () => {
    const got: unknown[] = [];
    let block = true;
    const handle: Handle = async (value, { deliveries }) => {
      if (block) return await new Promise(() => {});
      got.push([value, deliveries]);
    };
    const one = await open(handle);
    await one.subscribe('a', { concurrency: 2, batch: 10 });
    await publishAll(one, 'a', upTo(10));
    await until(async () => ((await one.broker.depth(['a']))[0]?.leased ?? 0) >= 2);
    const startedAt = Date.now();
    await one.stop(100);
    nodes = [];
    expect(Date.now() - startedAt).to.be.below(2_500);
    block = false;
    const other = await open(handle);
    await other.subscribe('a');
    await until(() => got.length === 10, 3_000);
    const failures = other.notes.filter(({ step }) => step !== 'delivered');
    expect(failures).to.deep.equal([]);
  });

  it('that were not acknowledged because Redis was away are acknowledged when it is back', async () => {
    const calls: unknown[] = [];
    let release: () => void = () => {};
    const gate = new Promise<void>((resolve) => {
      release = resolve;
    });
    const node = await open(async (value) => {
      calls.push(value);
      await gate;
    });
    await node.subscribe('a');
    await node.publish('a', 1);
    await until(() => calls.length === 1);
    process.kill(server.pid, 'SIGSTOP');
    release();
    setTimeout(() => process.kill(server.pid, 'SIGCONT'), 1_000);
    await until(() => node.drained('a').catch(() => false));
    expect(calls).to.deep.equal([1]);
  });

  it('whose wake was lost are found by the sweep', async () => {
    const got: unknown[] = [];
    const node = await open((value) => got.push(value), {
      broker: { onWake: () => {} },
      runner: { quietMs: 500 },
    });
    await node.subscribe('a');
    await node.publish('a', 1);
    await until(() => got.length === 1);
  });
});

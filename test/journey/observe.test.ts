import { expect } from 'chai';
import { Redis } from 'ioredis';
import { Fault } from '../../runtime/core/fault.ts';
import { Journey } from '../../runtime/journey/journey.ts';
import { JourneyReader } from '../../runtime/journey/journey-reader.ts';
import { observeBroker } from '../../runtime/journey/observe-broker.ts';
import { observeCalls, observeOutgoing } from '../../runtime/journey/observe-calls.ts';
import { observeDelivery } from '../../runtime/journey/observe-delivery.ts';
import type { KeptStep } from '../../runtime/journey/step.ts';
import type { Broker } from '../../runtime/pubsub/broker.ts';
import { openBroker, pull, type TestBroker } from '../support/broker.ts';
import { startRedis, type TestRedis } from '../support/redis.ts';
import { rejection } from '../support/rejection.ts';

describe('An observed part', () => {
  let redis: TestRedis;
  let client: Redis;
  let test: TestBroker;
  let journey: Journey;
  let broker: Broker;

  before(async () => {
    redis = await startRedis();
    client = new Redis(redis.path);
    test = await openBroker(redis.path);
    await test.broker.subscribe(pull('sk1', 'orders.*'));
  });
  beforeEach(() => {
    journey = new Journey({ redis: client });
    broker = observeBroker(test.broker, journey, (subKey) =>
      subKey === 'sk1' ? 'billing' : subKey,
    );
  });
  afterEach(() => journey.close());
  after(async () => {
    test.close();
    client.disconnect();
    await redis.stop();
  });

  let cids = 0;
  function newCid(): string {
    return `c${++cids}`;
  }

  async function stepsOf(cid: string): Promise<readonly KeptStep[]> {
    await journey.flush();
    return (await new JourneyReader({ redis: client }).find(cid))?.steps ?? [];
  }

  function brief(steps: readonly KeptStep[]): readonly string[] {
    return steps.map(({ kind, ok, facts }) => {
      const { subscription, attempt, error, reason } = facts;
      return [kind, ok, subscription, attempt, reason, error]
        .filter((part) => part !== undefined)
        .join(' ');
    });
  }

  const order = (cid: string) => ({ topic: 'orders.new', data: '{}', cid, publisher: 'shop' });

  describe('broker', () => {
    it('tells of a publication, who took it, and that it was acknowledged', async () => {
      const cid = newCid();
      const { msgId } = await broker.publish(order(cid));
      const taken = await broker.take('sk1');
      await broker.ack('sk1', taken);
      const steps = await stepsOf(cid);
      expect(brief(steps)).to.deep.equal(['publish true', 'delivered billing 1', 'acked billing']);
      expect(steps[0]?.facts).to.deep.equal({
        ...{ topic: 'orders.new', publisher: 'shop', msgId, queues: 1 },
      });
      expect(steps[0]?.ms).to.be.within(0, 5_000);
      expect(await broker.take('sk1')).to.deep.equal([]);
      expect((await stepsOf(cid)).length, 'nothing taken, nothing noted').to.equal(3);
    });

    it('tells of failed attempts, of what went back, and of the dead', async () => {
      const cid = newCid();
      await broker.publish(order(cid));
      const again = async (verdict: object) => {
        const [delivery] = await broker.take('sk1');
        if (delivery) await broker.reject('sk1', [{ ...delivery, ...verdict }]);
      };
      await again({ reason: 'no answer' });
      await again({ countFailure: false });
      await again({ reason: 'card refused', dead: 'rejected', version: '3' });
      const steps = await stepsOf(cid);
      expect(brief(steps.slice(1))).to.deep.equal([
        'delivered billing 1',
        'attempt false billing no answer',
        'delivered billing 2',
        'queue billing',
        'delivered billing 3',
        'dead false billing rejected card refused',
      ]);
      expect(steps.at(-1)?.facts.version).to.equal('3');
      await broker.purge('sk1', { state: 'dead' });
    });

    it('says when a delayed message comes again, and when a lease had ended', async () => {
      const cid = newCid();
      await broker.publish(order(cid));
      const [delivery] = await broker.take('sk1');
      if (!delivery) throw new Error('Nothing was taken');
      await broker.reject('sk1', [{ ...delivery, delayMs: 60_000, reason: 'busy' }]);
      expect(await broker.ack('sk1', [delivery])).to.deep.equal([false]);
      await broker.reject('sk1', [delivery]);
      const [, , delayed, late, gone] = await stepsOf(cid);
      expect(delayed?.facts).to.include({ error: 'busy', againInMs: 60_000 });
      for (const step of [late, gone]) {
        expect(step?.ok).to.equal(false);
        expect(step?.facts.error).to.equal('the lease had ended: the message comes again');
      }
      await broker.purge('sk1', { state: 'delayed' });
    });

    it('tells what an operator did to a message', async () => {
      const cid = newCid();
      const { msgId } = await broker.publish(order(cid));
      const [delivery] = await broker.take('sk1');
      if (delivery) await broker.reject('sk1', [{ ...delivery, dead: 'rejected' }]);
      expect(await broker.redrive('sk1', { msgIds: [msgId] })).to.equal(1);
      expect(await broker.remove('sk1', msgId)).to.equal(true);
      expect(await broker.remove('sk1', msgId)).to.equal(false);
      expect(brief(await stepsOf(cid)).slice(3)).to.deep.equal([
        'queue billing redriven',
        'queue billing deleted',
      ]);
    });

    it('tells of what was refused, alone and among many', async () => {
      const cid = newCid();
      const wrong = { ...order(cid), priority: 10 };
      expect((await rejection(broker.publish(wrong))).message).to.match(/Priority is 10/);
      const outcomes = await broker.publishMany([order(cid), wrong]);
      expect(Fault.is(outcomes[1])).to.equal(true);
      const steps = await stepsOf(cid);
      expect(steps.map(({ ok }) => ok)).to.have.members([false, true, false]);
      expect(steps.find(({ ok }) => !ok)?.facts.error).to.match(/Priority is 10/);
      await broker.purge('sk1', { state: 'waiting' });
    });

    it('is still the same broker for everything else', async () => {
      expect(broker.subscriptions().map(({ subKey }) => subKey)).to.deep.equal(['sk1']);
      expect(await broker.depth(['sk1'])).to.deep.include.members([
        { waiting: 0, leased: 0, delayed: 0, dead: 0 },
      ]);
    });
  });

  describe('call', () => {
    const http = { method: 'POST', path: '/orders' };

    it('is noted only when something of its journey was', async () => {
      const quiet = newCid();
      const busy = newCid();
      const invoke = observeCalls(
        async ({ cid }: { cid: string; service: string; http?: typeof http }) => {
          if (cid === busy) await broker.publish({ ...order(cid), topic: 'nobody' });
          return 'reply';
        },
        journey,
        { kind: 'channel', versionOf: () => 3 },
      );
      expect(await invoke({ cid: quiet, service: 'a.b', http })).to.equal('reply');
      await invoke({ cid: busy, service: 'a.b', http });
      expect(await stepsOf(quiet)).to.deep.equal([]);
      const steps = await stepsOf(busy);
      expect(steps.map(({ kind }) => kind)).to.have.members(['channel', 'publish']);
      const channel = steps.find(({ kind }) => kind === 'channel');
      expect(channel).to.deep.include({
        ok: true,
        facts: { service: 'a.b', channel: 'POST /orders', version: 3 },
      });
    });

    it('is noted when it failed by our fault, not when the caller was wrong', async () => {
      const failing = (thrown: Error) =>
        observeCalls(
          async (_call: { cid: string; service: string }) => Promise.reject(thrown),
          journey,
          {
            kind: 'invoke',
          },
        );
      const [wrong, broken] = [newCid(), newCid()];
      const refused = new Fault('bad-request', 'no name');
      expect(await rejection(failing(refused)({ cid: wrong, service: 'a.b' }))).to.equal(refused);
      const bug = new TypeError('x is undefined');
      expect(await rejection(failing(bug)({ cid: broken, service: 'a.b' }))).to.equal(bug);
      expect(await stepsOf(wrong)).to.deep.equal([]);
      expect(brief(await stepsOf(broken))).to.deep.equal(['invoke false internal: x is undefined']);
    });
  });

  describe('outgoing connection', () => {
    class Connection {
      readonly #url = 'http://127.0.0.1:1';
      async send(cid: string): Promise<{ status: number; ok: boolean }> {
        if (cid === '') throw new Fault('unavailable', `Outgoing crm: ${this.#url} refused`);
        return { status: 200, ok: true };
      }
      async post(_cid: string, data?: unknown): Promise<{ status: number; ok: boolean }> {
        return { status: data === undefined ? 200 : 503, ok: data === undefined };
      }
      get = this.send;
      put = this.send;
      patch = this.send;
      delete = this.send;
      async ping(): Promise<string> {
        return this.#url;
      }
    }

    it('tells the status of each call, or why there was none', async () => {
      const conn = new Connection();
      const find = observeOutgoing(() => ({ conn }), journey);
      const cid = newCid();
      expect(await find('crm').conn.send(cid)).to.deep.equal({ status: 200, ok: true });
      expect((await find('crm').conn.post(cid, { secret: 'hunter2' })).status).to.equal(503);
      expect((await rejection(find('crm').conn.send(''))).message).to.match(/refused$/);
      expect(await find('crm').conn.ping()).to.equal('http://127.0.0.1:1');
      expect(find('crm')).to.equal(find('crm'));
      const steps = await stepsOf(cid);
      expect(steps.map(({ ok, facts }) => [ok, facts])).to.have.deep.members([
        [true, { connection: 'crm', status: 200 }],
        [false, { connection: 'crm', method: 'post', status: 503 }],
      ]);
    });
  });

  describe('push delivery', () => {
    it('tells of each attempt, with names and times alone', async () => {
      const cid = newCid();
      const note = observeDelivery(journey);
      const facts = { subKey: 'sk1', subscription: 'billing', endpoint: 'service a.b', attempt: 1 };
      const failure = { ok: false, error: 'internal: no', delayMs: 5_000 };
      note({ cid, msgId: 'm1', step: 'attempt', facts: { ...facts, ms: 12, ...failure } });
      note({ cid, msgId: 'm1', step: 'delivered', facts: { ...facts, attempt: 2, ms: 3 } });
      const [failed, delivered] = await stepsOf(cid);
      expect(failed).to.deep.include({ kind: 'attempt', ok: false, ms: 12 });
      expect(failed?.facts).to.deep.equal({
        ...{ subscription: 'billing', endpoint: 'service a.b', attempt: 1, msgId: 'm1' },
        ...{ error: 'internal: no', againInMs: 5_000 },
      });
      expect(delivered).to.deep.include({ kind: 'delivered', ok: true, ms: 3 });
    });
  });
});

import { expect } from 'chai';
import { Redrive } from '../../runtime/delivery/redrive.ts';
import { startRedis, type TestRedis } from '../support/redis.ts';
import { rejection } from '../support/rejection.ts';
import { until } from '../support/until.ts';
import { type Delivering, delivering } from './fixture.ts';

describe('Redrive', () => {
  let server: TestRedis;
  let node: Delivering;
  let broken: boolean;
  let got: { value: unknown; at: number }[];

  beforeEach(async () => {
    server = await startRedis();
    broken = true;
    got = [];
    node = await delivering(server.path, {
      services: {
        work: (value) => {
          if (broken) throw new Error('still broken');
          got.push({ value, at: Date.now() });
        },
      },
    });
    await node.subscribe('a', { maxDeliveries: 1, retryMs: [1], concurrency: 1 });
    for (let value = 0; value < 4; value++) await node.publish('a', value);
    await until(async () => (await node.dead('a')).length === 4);
  });

  afterEach(async () => {
    await node.stop();
    await server.stop();
  });

  it('tries one message first, and leaves the others where they are when it fails', async () => {
    const redriven = await new Redrive(node.broker).run('a');
    expect(redriven).to.deep.equal({
      redriven: 1,
      trial: 'failed',
      error: 'Error: still broken',
    });
    await until(async () => (await node.dead('a')).length === 4);
    expect(got).to.deep.equal([]);
  });

  it('sends the others, at the rate asked for, once the first got through', async () => {
    broken = false;
    const progress: number[] = [];
    const redriven = await new Redrive(node.broker).run('a', {
      perSecond: 10,
      onProgress: (count) => progress.push(count),
    });
    expect(redriven).to.deep.equal({ redriven: 4, trial: 'passed' });
    expect(progress).to.deep.equal([2, 3, 4]);
    await until(() => got.length === 4);
    expect(await node.dead('a')).to.deep.equal([]);
    expect(Number(got[3]?.at) - Number(got[1]?.at)).to.be.at.least(180);
  });

  it('says when the trial does not end, when there is nothing, and when it is not dead', async () => {
    node.set('a', { paused: true });
    const redrive = new Redrive(node.broker);
    expect(await redrive.run('a', { trialMs: 1 })).to.deep.equal({ redriven: 1, trial: 'late' });
    expect(await redrive.run('nothing')).to.deep.equal({ redriven: 0, trial: 'none' });
    const unknown = redrive.run('a', { msgIds: ['zpsm.20260101-000000-0000-0000000000000001f'] });
    expect(await rejection(unknown)).to.include({ code: 'conflict' });
  });

  it('without a trial sends all that were given', async () => {
    broken = false;
    const { items } = await node.broker.browse('a', { state: 'dead' });
    const msgIds = items.slice(0, 2).map(({ message }) => message.msgId);
    const redriven = await new Redrive(node.broker).run('a', { trial: false, msgIds });
    expect(redriven).to.deep.equal({ redriven: 2, trial: 'none' });
    await until(() => got.length === 2);
    expect((await node.dead('a')).length).to.equal(2);
  });

  it('can be called off', async () => {
    broken = false;
    const abort = new AbortController();
    const running = new Redrive(node.broker).run('a', {
      perSecond: 1,
      signal: abort.signal,
      onProgress: () => abort.abort(),
    });
    expect(await rejection(running)).to.have.property('name', 'AbortError');
    expect((await node.dead('a')).length).to.be.above(0);
  });
});

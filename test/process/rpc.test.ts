import { expect } from 'chai';
import { Fault } from '../../runtime/core/fault.ts';
import { type Channel, type Message, Rpc } from '../../runtime/process/rpc.ts';
import { rejection } from '../support/rejection.ts';

/** Two ends that talk as two processes do: by copies, later. */
function pair(): readonly [Channel, Channel] {
  const takers: ((message: Message, handle: unknown) => void)[] = [];
  const end = (own: number): Channel => ({
    send(message, handle, onSent) {
      const copy = structuredClone(message);
      setImmediate(() => {
        takers[1 - own]?.(copy, handle);
        onSent(null);
      });
    },
    listen(take) {
      takers[own] = take;
    },
  });
  return [end(0), end(1)];
}

const within = { timeoutMs: 1_000 };

describe('Rpc', () => {
  it('answers requests with the handler’s value, each its own', async () => {
    const [left, right] = pair();
    const asker = new Rpc(left, {});
    new Rpc(right, { double: async (n: number) => n * 2 });
    const answers = await Promise.all([1, 2, 3].map((n) => asker.request('double', n, within)));
    expect(answers).to.deep.equal([2, 4, 6]);
  });

  it('brings a Fault back as the same Fault, and hides a bug behind internal', async () => {
    const [left, right] = pair();
    const asker = new Rpc(left, {});
    new Rpc(right, {
      refuse: () => {
        throw new Fault('conflict', 'taken', { details: { by: 'x' } });
      },
      bug: () => {
        throw new TypeError('oops');
      },
    });
    expect(await rejection(asker.request('refuse', {}, within))).to.deep.include({
      code: 'conflict',
      message: 'taken',
      details: { by: 'x' },
    });
    expect(await rejection(asker.request('bug', {}, within))).to.include({ code: 'internal' });
    expect(await rejection(asker.request('none', {}, within))).to.include({ code: 'internal' });
  });

  it('ends a request at its deadline, and every request when it is closed', async () => {
    const [left, right] = pair();
    const asker = new Rpc(left, {});
    new Rpc(right, { never: () => new Promise(() => {}) });

    expect(await rejection(asker.request('never', {}, { timeoutMs: 5 }))).to.include({
      code: 'timeout',
    });
    const waiting = rejection(asker.request('never', {}, within));
    asker.close('the worker has ended');
    expect(await waiting).to.include({ code: 'unavailable', message: 'the worker has ended' });
    expect(await rejection(asker.request('never', {}, within))).to.include({ code: 'unavailable' });
  });

  it('takes notices without an answer, whatever their handler does', async () => {
    const [left, right] = pair();
    const sender = new Rpc(left, {});
    const seen = new Promise((resolve) => {
      new Rpc(right, {
        note: (body: unknown) => {
          resolve(body);
          throw new Error('nobody hears this');
        },
      });
    });
    sender.notify('note', { n: 1 });
    expect(await seen).to.deep.equal({ n: 1 });
  });
});

import type { ServerResponse } from 'node:http';
import { expect } from 'chai';
import { OutgoingConnections } from '../../../outgoing/http/connections.ts';
import {
  Leases,
  type LeaseWish,
  leaseBy,
  SocketLeave,
} from '../../../outgoing/http/socket-leave.ts';
import type { AcquireSocket } from '../../../outgoing/http/sockets.ts';
import { Fault } from '../../../runtime/core/fault.ts';
import { collectingLog } from '../../support/collecting-log.ts';
import { rejection } from '../../support/rejection.ts';
import { until } from '../../support/until.ts';
import { httpServer, sealer, spec } from '../fixture.ts';

const callMs = 100;

interface Shop {
  readonly all: readonly OutgoingConnections[];
  readonly leave: SocketLeave;
  send(
    worker: number,
    request?: { signal?: AbortSignal; timeoutMs?: number },
  ): Promise<{ readonly text: string }>;
  close(): Promise<void>;
}

/** So many workers, each reaching the one SocketLeave as a process of its own does. */
function workers(count: number, given: Record<string, unknown>): Shop {
  const leave = new SocketLeave();
  const all = Array.from({ length: count }, () => {
    const connections = new OutgoingConnections({
      sealer,
      log: collectingLog(),
      standinUrl: () => undefined,
      acquireSocket: byMessages(new Leases(leave)),
      workers: count,
    });
    connections.set({
      type: 'outgoing',
      name: 'erp',
      revision: 1,
      updatedAt: '2026-01-01T00:00:00.000Z',
      spec: spec(given),
    });
    return connections;
  });
  return {
    all,
    leave,
    send: async (worker, request) => {
      const connections = all[worker];
      if (connections === undefined) throw new Error(`No worker ${worker}`);
      return await connections.get('erp').conn.send('cid-1', undefined, request);
    },
    close: async () => {
      await Promise.all(all.map((connections) => connections.close()));
      await until(() => leave.open('erp') === 0 && leave.waiting('erp') === 0);
    },
  };
}

/** Asks and releases arrive later, in order. */
function byMessages(leases: Leases): AcquireSocket {
  return leaseBy({
    ask: async (wish: LeaseWish) => {
      await null;
      await leases.acquire(wish);
    },
    release: (lease) => queueMicrotask(() => leases.release(lease)),
  });
}

/** Answers each request after `callMs`, and tells how many sockets and requests there were at once. */
async function slowServer() {
  const most = { sockets: 0, requests: 0 };
  let running = 0;
  const server = await httpServer((_, response) => {
    running++;
    most.requests = Math.max(most.requests, running);
    most.sockets = Math.max(most.sockets, server.sockets.size);
    setTimeout(() => {
      running--;
      response.end('ok');
    }, callMs);
  });
  return { server, most };
}

/** Answers what is let go. */
async function holdingServer() {
  const held: ServerResponse[] = [];
  const server = await httpServer((_, response) => held.push(response));
  return { server, held };
}

function faultOf(error: Error): Fault {
  if (Fault.is(error)) return error;
  throw error;
}

describe('A pool shared by workers', () => {
  it('gives each its share: 10 calls over 2 sockets of 2 workers take 5 rounds', async () => {
    const { server, most } = await slowServer();
    const shop = workers(2, { url: server.url, pool: 2 });
    await shop.send(0);
    const began = performance.now();
    await Promise.all(Array.from({ length: 10 }, (_, n) => shop.send(n % 2)));
    expect(performance.now() - began).to.be.within(5 * callMs - 10, 8 * callMs);
    expect(most).to.deep.equal({ sockets: 2, requests: 2 });
    expect(server.accepted()).to.equal(2);
    await shop.close();
    await server.stop();
  });

  it('is not starved by one worker that keeps its sockets', async () => {
    const { server } = await slowServer();
    const shop = workers(2, { url: server.url, pool: 4 });
    await Promise.all(Array.from({ length: 8 }, () => shop.send(0)));
    const began = performance.now();
    await Promise.all([shop.send(1), shop.send(1)]);
    expect(performance.now() - began).to.be.below(3 * callMs);
    expect(server.accepted()).to.equal(4);
    await shop.close();
    await server.stop();
  });

  it('goes round when it is smaller than the number of workers', async () => {
    const { server, most } = await slowServer();
    const shop = workers(2, { url: server.url, pool: 1 });
    const began = performance.now();
    for (const worker of [0, 1, 0, 1]) await shop.send(worker);
    expect(performance.now() - began).to.be.within(4 * callMs - 10, 6 * callMs);
    await until(() => shop.leave.open('erp') === 0);
    await Promise.all([0, 1, 0, 1].map((worker) => shop.send(worker)));
    expect(most.requests).to.equal(1);
    expect(server.accepted()).to.equal(8);
    await shop.close();
    await server.stop();
  });

  for (const worker of [0, 1]) {
    const where = worker === 0 ? 'the same worker' : 'another worker';
    it(`lets a call that waits for ${where}'s socket end on time, and serves the next`, async () => {
      const { server, held } = await holdingServer();
      const shop = workers(2, { url: server.url, pool: 1 });
      const first = shop.send(0);
      await until(() => held.length === 1);
      const began = performance.now();
      const fault = faultOf(await rejection(shop.send(worker, { timeoutMs: 300 })));
      expect(performance.now() - began).to.be.within(290, 400);
      expect(fault.code).to.equal('timeout');
      expect(fault.message).to.equal('Outgoing erp: no connection was free in 300 ms (pool 1)');
      await until(() => shop.leave.waiting('erp') === 0);
      const next = shop.send(worker);
      held[0]?.end('first');
      expect((await first).text).to.equal('first');
      await until(() => held.length === 2);
      held[1]?.end('next');
      expect((await next).text).to.equal('next');
      await shop.close();
      await server.stop();
    });

    it(`takes a caller that gives up out of line for ${where}'s socket`, async () => {
      const { server, held } = await holdingServer();
      const shop = workers(2, { url: server.url, pool: 1 });
      const first = shop.send(0);
      await until(() => held.length === 1);
      const caller = new AbortController();
      const gone = rejection(shop.send(worker, { signal: caller.signal }));
      if (worker === 1) await until(() => shop.leave.waiting('erp') === 1);
      caller.abort();
      expect((await gone).message).to.equal('Outgoing erp: given up by its caller');
      await until(() => shop.leave.waiting('erp') === 0);
      const next = shop.send(worker);
      held[0]?.end('first');
      expect((await first).text).to.equal('first');
      await until(() => held.length === 2);
      held[1]?.end('next');
      expect((await next).text).to.equal('next');
      await shop.close();
      await server.stop();
    });
  }

  it('does not blame the other side for a wait in line: the breaker stays closed', async () => {
    const { server, held } = await holdingServer();
    const breaker = { failures: 1, reset: '1m' };
    const shop = workers(2, { url: server.url, pool: 1, timeout: '200ms', breaker });
    const release = await shop.leave.acquire('erp', 1);
    expect((await rejection(shop.send(1))).message).to.contain('no connection was free');
    expect(shop.all[1]?.state('erp').breaker).to.equal('closed');
    expect(held).to.have.length(0);
    release();
    await shop.close();
    await server.stop();
  });
});

describe('The leases of a process', () => {
  const wish = (lease: number): LeaseWish => ({ connection: 'erp', limit: 1, lease });

  it('end with it, those it waits for too', async () => {
    const leave = new SocketLeave();
    const one = new Leases(leave);
    const other = new Leases(leave);
    await one.acquire(wish(1));
    const waits = rejection(one.acquire(wish(2)));
    const next = other.acquire(wish(1));
    one.end();
    expect((await waits).message).to.equal('Lease of erp: no longer wanted');
    await next;
    expect([leave.open('erp'), leave.waiting('erp')]).to.deep.equal([1, 0]);
    expect((await rejection(one.acquire(wish(3)))).message).to.contain('has ended');
    other.release(1);
    expect(leave.open('erp')).to.equal(0);
  });

  it('do not leak one that is released as it is granted', async () => {
    const leave = new SocketLeave();
    const leases = new Leases(leave);
    const granted = rejection(leases.acquire(wish(1)));
    leases.release(1);
    expect((await granted).message).to.equal('Lease of erp: no longer wanted');
    expect(leave.open('erp')).to.equal(0);
  });

  it('are given back when the answer fails to come', async () => {
    const leave = new SocketLeave();
    const leases = new Leases(leave);
    const acquire = leaseBy({
      ask: async (asked) => {
        await leases.acquire(asked);
        throw new Fault('timeout', 'the answer was lost');
      },
      release: (lease) => leases.release(lease),
    });
    const error = await rejection(acquire('erp', 1, new AbortController().signal));
    expect(error.message).to.equal('the answer was lost');
    expect(leave.open('erp')).to.equal(0);
  });
});

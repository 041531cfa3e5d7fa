import type { ServerResponse } from 'node:http';
import { expect } from 'chai';
import type { ConnectionOptions } from '../../../outgoing/http/connection.ts';
import { OutgoingConnections } from '../../../outgoing/http/connections.ts';
import type { Notice } from '../../../outgoing/http/guard.ts';
import { SocketLeave } from '../../../outgoing/http/socket-leave.ts';
import { Fault } from '../../../runtime/core/fault.ts';
import { collectingLog } from '../../support/collecting-log.ts';
import { rejection } from '../../support/rejection.ts';
import { until } from '../../support/until.ts';
import { httpServer, sealer, spec } from '../fixture.ts';

function connections(more: Partial<ConnectionOptions> = {}): OutgoingConnections {
  const options: ConnectionOptions = {
    sealer,
    log: collectingLog(),
    standinUrl: () => undefined,
    ...more,
  };
  return new OutgoingConnections(options);
}

function definition(name: string, revision: number, given: Record<string, unknown>) {
  return {
    type: 'outgoing',
    name,
    revision,
    updatedAt: '2026-01-01T00:00:00.000Z',
    spec: spec(given),
  };
}

describe('The outgoing connections of a process', () => {
  it('name the connection that is not there', async () => {
    const all = connections();
    expect(() => all.get('erp')).to.throw(Fault, 'No such outgoing connection: erp');
    await all.close();
  });

  it('rewire only what changed: the others keep their sockets', async () => {
    const server = await httpServer((request, response) => response.end(request.url));
    const all = connections();
    const { url } = server;
    all.update([definition('a', 1, { url, path: '/a' }), definition('b', 2, { url, path: '/b' })]);
    const a = all.get('a').conn;
    const b = all.get('b').conn;
    await Promise.all([a.send('cid-1'), b.send('cid-1')]);

    all.update([definition('a', 1, { url, path: '/a' }), definition('b', 3, { url, path: '/b2' })]);

    expect([(await a.send('cid-2')).text, (await b.send('cid-2')).text]).to.deep.equal([
      '/a',
      '/b2',
    ]);
    expect(server.accepted()).to.equal(3);
    await all.close();
    await server.stop();
  });

  it('let a call end on the connection it began on', async () => {
    const held: ServerResponse[] = [];
    const server = await httpServer((request, response) => {
      if (request.url === '/old') held.push(response);
      else response.end('new');
    });
    const all = connections();
    all.set(definition('a', 1, { url: server.url, path: '/old' }));
    const { conn } = all.get('a');
    const old = conn.send('cid-1');
    await until(() => held.length === 1);
    all.set(definition('a', 2, { url: server.url, path: '/new' }));
    expect((await conn.send('cid-2')).text).to.equal('new');
    held[0]?.end('old');
    expect((await old).text).to.equal('old');
    await all.close();
    await server.stop();
  });

  it('refuse calls of a connection that was removed meanwhile', async () => {
    const all = connections();
    all.update([definition('a', 1, { url: 'http://127.0.0.1:1' })]);
    const { conn } = all.get('a');
    all.update([]);
    expect((await rejection(conn.send('cid-1'))).message).to.equal(
      'No such outgoing connection: a',
    );
    await all.close();
  });

  it('tell other processes what they learned', async () => {
    const server = await httpServer((_, response) =>
      response.writeHead(429, { 'retry-after': '60' }).end(),
    );
    const heard: [string, Notice][] = [];
    const one = connections({ onNotice: (name, notice) => heard.push([name, notice]) });
    const two = connections();
    for (const all of [one, two]) all.update([definition('a', 1, { url: server.url })]);
    await one.get('a').conn.send('cid-1');
    for (const [name, notice] of heard) two.heed(name, notice);
    const error = await rejection(two.get('a').conn.send('cid-2'));
    expect(Fault.is(error) && error.code).to.equal('too-many');
    expect(two.state('a').parkedUntil).to.equal(one.state('a').parkedUntil);
    await Promise.all([one.close(), two.close()]);
    await server.stop();
  });

  it('share the sockets of a connection between processes, and never exceed its pool', async () => {
    let most = 0;
    const server = await httpServer((_, response) => {
      most = Math.max(most, server.sockets.size);
      response.setHeader('connection', 'close').end('ok');
    });
    const leave = new SocketLeave();
    const acquireSocket = (name: string, limit: number) => leave.acquire(name, limit);
    const processes = [1, 2, 3].map(() => connections({ acquireSocket }));
    const calls = processes.flatMap((all) => {
      all.update([definition('a', 1, { url: server.url, pool: 2 })]);
      return Array.from({ length: 5 }, () => all.get('a').conn.send('cid-1'));
    });
    const replies = await Promise.all(calls);
    expect(replies.every(({ text }) => text === 'ok')).to.equal(true);
    expect(most).to.be.within(1, 2);
    await Promise.all(processes.map((all) => all.close()));
    await until(() => leave.open('a') === 0);
    await server.stop();
  });
});

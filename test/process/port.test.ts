import { once } from 'node:events';
import net from 'node:net';
import { expect } from 'chai';
import { bindPort } from '../../runtime/process/port.ts';
import { rejection } from '../support/rejection.ts';

async function listening(port = 0): Promise<{ port: number; close: () => Promise<void> }> {
  const server = net.createServer((socket) => socket.end('taken')).listen(port, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as net.AddressInfo).port,
    close: async () => {
      server.close();
      await once(server, 'close');
    },
  };
}

describe('bindPort', () => {
  it('takes the next free port when nobody asked for this one', async () => {
    const taken = await listening();
    const bound = await bindPort('127.0.0.1', { port: taken.port, orNext: true });
    expect(bound.port).to.be.greaterThan(taken.port);
    bound.close();
    await taken.close();
  });

  it('leaves out the port that another part will want', async () => {
    const taken = await listening();
    const avoid = taken.port + 1;
    const bound = await bindPort('127.0.0.1', { port: taken.port, orNext: true, avoid });
    expect(bound.port).to.be.greaterThan(avoid);
    bound.close();
    await taken.close();
  });

  it('refuses a taken port that was asked for, and an address of another machine', async () => {
    const taken = await listening();
    expect(await rejection(bindPort('127.0.0.1', { port: taken.port, orNext: false }))).to.include({
      code: 'conflict',
      message: `Port ${taken.port} is taken on 127.0.0.1`,
    });
    await taken.close();
    expect(await rejection(bindPort('192.0.2.1', { port: 0, orNext: false }))).to.include({
      code: 'bad-request',
    });
  });

  it('keeps connections waiting while no process accepts them', async () => {
    const bound = await bindPort('127.0.0.1', { port: 0, orNext: false });
    const serve = async (name: string) => {
      const server = net.createServer((socket) => socket.end(name)).listen(bound.handle);
      await once(server, 'listening');
      return server;
    };
    const ask = async () => {
      const socket = net.connect(bound.port, '127.0.0.1');
      const [data] = await once(socket, 'data');
      socket.destroy();
      return String(data);
    };
    const first = await serve('first');
    expect(await ask()).to.equal('first');
    first.close();
  });
});

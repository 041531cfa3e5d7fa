import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';

/** Between a client and a server: passes bytes, or swallows them while both sides think all is well. */
export interface Middlebox {
  readonly port: number;
  /** From now on the open connections carry nothing, without an end; new ones work. */
  blackhole(): void;
  /** How many connections came so far. */
  readonly accepted: number;
  stop(): Promise<void>;
}

export async function startMiddlebox(path: string): Promise<Middlebox> {
  let pairs: (readonly [Socket, Socket])[] = [];
  let accepted = 0;
  const server = createServer((near) => {
    accepted += 1;
    const far = connect(path);
    pairs.push([near, far]);
    near.pipe(far).pipe(near);
    near.on('error', () => far.destroy());
    far.on('error', () => near.destroy());
    near.on('close', () => far.destroy());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  const all: Socket[] = [];
  return {
    port: typeof address === 'object' && address !== null ? address.port : 0,
    get accepted() {
      return accepted;
    },
    blackhole() {
      for (const [near, far] of pairs) {
        near.unpipe(far);
        far.unpipe(near);
        // Both are read on, into nothing.
        near.resume();
        far.resume();
        all.push(near, far);
      }
      pairs = [];
    },
    async stop() {
      for (const [near] of pairs) near.destroy();
      for (const socket of all) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}

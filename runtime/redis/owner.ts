import { once } from 'node:events';
import { rename, rm } from 'node:fs/promises';
import { connect, createServer, type Server } from 'node:net';

/**
 * Who may run the Redis of a folder: the one process that listens on this socket. The kernel gives the claim up when
 * that process dies, however it dies, so a claim can be stale but never wrong (a pid file can be both).
 */
export class Ownership {
  readonly #server: Server;

  private constructor(server: Server) {
    this.#server = server;
  }

  /** Takes the claim, or gives the pid of the process that has it. */
  static async take(path: string): Promise<Ownership | number> {
    // A second round only when the old owner left, or another process came, between two steps.
    for (let round = 0; round < 10; round += 1) {
      const server = await listen(path);
      if (server !== undefined) return new Ownership(server);
      const owner = (await ownerOf(path)) ?? (await setAside(path));
      if (owner !== undefined) return owner;
    }
    throw new Error(`Cannot listen on ${path}`);
  }

  async release(): Promise<void> {
    if (!this.#server.listening) return;
    this.#server.close();
    await once(this.#server, 'close');
  }
}

async function listen(path: string): Promise<Server | undefined> {
  const server = createServer((socket) => {
    socket.on('error', () => socket.destroy());
    socket.end(String(process.pid));
  });
  try {
    server.listen(path);
    await once(server, 'listening');
    return server;
  } catch (thrown) {
    if (isCode(thrown, 'EADDRINUSE')) return undefined;
    throw thrown;
  }
}

/** Removes a socket nobody listens on; by a rename first, so that a claim made meanwhile is seen and put back. */
async function setAside(path: string): Promise<number | undefined> {
  const aside = `${path}.${process.pid}`;
  try {
    await rename(path, aside);
  } catch (thrown) {
    if (isCode(thrown, 'ENOENT')) return undefined;
    throw thrown;
  }
  const owner = await ownerOf(aside);
  if (owner === undefined) await rm(aside, { force: true });
  else await rename(aside, path);
  return owner;
}

function ownerOf(path: string): Promise<number | undefined> {
  return new Promise((resolve) => {
    let text = '';
    const socket = connect(path);
    socket.setTimeout(1_000, () => socket.destroy());
    socket.on('data', (bytes) => {
      text += bytes.toString();
    });
    socket.on('error', () => resolve(undefined));
    // A listener too busy to answer is alive all the same: 0 stands for "some process".
    socket.on('close', (failed) => resolve(failed ? undefined : Number(text)));
  });
}

function isCode(thrown: unknown, code: string): boolean {
  return thrown instanceof Error && 'code' in thrown && thrown.code === code;
}

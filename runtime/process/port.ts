import { once } from 'node:events';
import net from 'node:net';
import { getSystemErrorName } from 'node:util';
import { Fault } from '../core/fault.ts';

/** A bound port that no process accepts on yet: workers get it and listen. */
export interface BoundPort {
  readonly host: string;
  readonly port: number;
  /** `http://127.0.0.1:11223` */
  readonly url: string;
  /** Passed on with `send`, and to `server.listen`. */
  readonly handle: object;
  close(): void;
}

interface Handle {
  close(): void;
  getsockname(out: { port?: number }): number;
}

/** What node:cluster itself binds shared ports with; not in the documented API. */
type CreateServerHandle = (host: string, port: number, family: number) => Handle | number;

/**
 * Binds a port without accepting on it. The control process keeps it open, so that connections made
 * while no worker lives wait for the next one.
 * @param wish with `orNext` the following ports are tried, up to 50, when this one is taken; `avoid`
 *   is not among them: somebody else will want it, or has bound it and does not listen yet
 * @throws Fault `conflict` when it is taken, `bad-request` when it cannot be bound at all
 */
export async function bindPort(
  host: string,
  wish: { readonly port: number; readonly orNext: boolean; readonly avoid?: number },
): Promise<BoundPort> {
  const last = wish.orNext ? Math.min(wish.port + 50, 65_535) : wish.port;
  for (let port = wish.port; port <= last; port++) {
    if (wish.orNext && port === wish.avoid) continue;
    if (await isFree(host, port)) return bind(host, port);
  }
  const ports = wish.orNext ? `Ports ${wish.port}-${last} are` : `Port ${wish.port} is`;
  throw new Fault('conflict', `${ports} taken on ${host}`);
}

/** Listens for a moment: two sockets may bind one port, but only one can listen. */
async function isFree(host: string, port: number): Promise<boolean> {
  const probe = net.createServer();
  try {
    await once(probe.listen({ host, port, exclusive: true }), 'listening');
    return true;
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown';
    if (code === 'EADDRINUSE') return false;
    throw new Fault('bad-request', `Cannot listen on ${host}:${port} (${code})`, { cause: error });
  } finally {
    if (probe.listening) await new Promise((resolve) => probe.close(resolve));
  }
}

function bind(host: string, port: number): BoundPort {
  const create = (net as unknown as { _createServerHandle: CreateServerHandle })
    ._createServerHandle;
  const handle = create(host, port, net.isIPv6(host) ? 6 : 4);
  if (typeof handle === 'number') {
    throw new Fault('bad-request', `Cannot bind ${host}:${port} (${getSystemErrorName(handle)})`);
  }
  const name: { port?: number } = {};
  handle.getsockname(name);
  const bound = name.port ?? port;
  const url = `http://${net.isIPv6(host) ? `[${host}]` : host}:${bound}`;
  return { host, port: bound, url, handle, close: () => handle.close() };
}

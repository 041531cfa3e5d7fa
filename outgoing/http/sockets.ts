import type { Socket } from 'node:net';
import { buildConnector } from 'undici';

/**
 * Gives leave to open one more socket for a connection; the function given back returns it.
 * Rejects with the signal's reason when that comes first.
 */
export type AcquireSocket = (
  connection: string,
  limit: number,
  signal: AbortSignal,
) => Promise<() => void>;

export interface SocketOptions {
  readonly name: string;
  readonly limit: number;
  readonly connectMs: number;
  readonly acquire: AcquireSocket | undefined;
}

/** Whom a socket is opened for. */
export interface Asker {
  readonly signal: AbortSignal;
  /** Told when it begins and ends to wait for leave. */
  readonly queued: (waits: boolean) => void;
}

/** Opens the sockets of a pool, and remembers which error ended a socket that had served before. */
export class Sockets {
  readonly #options: SocketOptions;
  readonly #open: buildConnector.connector;
  readonly #readBytes = new WeakMap<object, number>();

  constructor(options: SocketOptions) {
    this.#options = options;
    this.#open = buildConnector({ timeout: options.connectMs });
  }

  /** Opens sockets for whoever is asking at that time. */
  connector(asker: () => Asker | undefined): buildConnector.connector {
    return (options, callback) => {
      const at = asker();
      const failed = (error: unknown) => callback(asError(error), null);
      if (at === undefined) {
        // Not now: the client must not be told before it has noted that it connects.
        queueMicrotask(() => failed(new Error('Nobody asks for this socket')));
        return;
      }
      this.#leave(at).then((release) => {
        this.#connect(options, at.signal, callback, release);
      }, failed);
    };
  }

  /** True when `error` ended a socket that had already brought bytes: a kept one, gone stale. */
  wasUsed(error: unknown): boolean {
    if (typeof error !== 'object' || error === null) return false;
    // undici's own errors carry the socket's counters; those of Node are remembered here.
    const carried = 'socket' in error ? (error.socket as { bytesRead?: number } | null) : undefined;
    return (carried?.bytesRead ?? this.#readBytes.get(error) ?? 0) > 0;
  }

  async #leave({ signal, queued }: Asker): Promise<() => void> {
    const { acquire, name, limit } = this.#options;
    signal.throwIfAborted();
    if (acquire === undefined) return () => {};
    queued(true);
    const release = await acquire(name, limit, signal);
    queued(false);
    if (!signal.aborted) return release;
    release();
    throw signal.reason;
  }

  #connect(
    options: buildConnector.Options,
    signal: AbortSignal,
    callback: buildConnector.Callback,
    release: () => void,
  ): void {
    this.#open(options, (...[error, socket]) => {
      if (error !== null) {
        release();
        callback(error, null);
        return;
      }
      this.#watch(socket, release);
      if (!signal.aborted) {
        callback(null, socket);
        return;
      }
      // Whoever asked has gone: an idle socket would keep its leave from others.
      socket.destroy();
      callback(asError(signal.reason), null);
    });
  }

  #watch(socket: Socket, release: () => void): void {
    socket.once('close', release);
    socket.prependListener('error', (error) => this.#readBytes.set(error, socket.bytesRead));
  }
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error));
}

import type { Socket } from 'node:net';
import { buildConnector } from 'undici';

/** Gives leave to open one more socket for a connection; the function given back returns it. */
export type AcquireSocket = (connection: string, limit: number) => Promise<() => void>;

export interface SocketOptions {
  readonly name: string;
  readonly limit: number;
  readonly connectMs: number;
  readonly acquire: AcquireSocket | undefined;
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

  readonly connector: buildConnector.connector = (options, callback) => {
    const { acquire, name, limit } = this.#options;
    if (acquire === undefined) {
      this.#connect(options, callback, () => {});
      return;
    }
    acquire(name, limit).then(
      (release) => this.#connect(options, callback, release),
      (error: unknown) => callback(error instanceof Error ? error : new Error(String(error)), null),
    );
  };

  /** True when `error` ended a socket that had already brought bytes: a kept one, gone stale. */
  wasUsed(error: unknown): boolean {
    if (typeof error !== 'object' || error === null) return false;
    // undici's own errors carry the socket's counters; those of Node are remembered here.
    const carried = 'socket' in error ? (error.socket as { bytesRead?: number } | null) : undefined;
    return (carried?.bytesRead ?? this.#readBytes.get(error) ?? 0) > 0;
  }

  #connect(
    options: buildConnector.Options,
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
      callback(null, socket);
    });
  }

  #watch(socket: Socket, release: () => void): void {
    socket.once('close', release);
    socket.prependListener('error', (error) => this.#readBytes.set(error, socket.bytesRead));
  }
}

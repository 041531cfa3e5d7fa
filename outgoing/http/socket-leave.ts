import { Fault } from '../../runtime/core/fault.ts';
import type { AcquireSocket } from './sockets.ts';

interface Lane {
  open: number;
  /** As the newest definition has it. */
  limit: number;
  readonly waiting: Set<() => void>;
}

/**
 * Counts the sockets of each connection over all processes that ask it, first come first served.
 * One process owns it; the others reach it by whatever they talk to that process.
 */
export class SocketLeave {
  readonly #lanes = new Map<string, Lane>();

  /**
   * Resolves when one more socket may be opened; call what it gives when the socket has closed.
   * Rejects with the signal's reason, out of line, when that comes first.
   */
  async acquire(connection: string, limit: number, signal?: AbortSignal): Promise<() => void> {
    signal?.throwIfAborted();
    const lane = this.#lanes.get(connection) ?? { open: 0, limit, waiting: new Set() };
    this.#lanes.set(connection, lane);
    lane.limit = limit;
    const turn = inLine(lane, signal);
    this.#admit(connection, lane);
    await turn;
    let released = false;
    return () => {
      if (released) return;
      released = true;
      lane.open--;
      this.#admit(connection, lane);
    };
  }

  /** Sockets open or being opened. */
  open(connection: string): number {
    return this.#lanes.get(connection)?.open ?? 0;
  }

  /** Who waits for one. */
  waiting(connection: string): number {
    return this.#lanes.get(connection)?.waiting.size ?? 0;
  }

  #admit(connection: string, lane: Lane): void {
    for (const enter of lane.waiting) {
      if (lane.open >= lane.limit) break;
      lane.open++;
      enter();
    }
    if (lane.open === 0 && lane.waiting.size === 0) this.#lanes.delete(connection);
  }
}

/** Once in, it is in: what then aborts finds nobody in line. */
function inLine(lane: Lane, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const leave = () => {
      lane.waiting.delete(enter);
      reject(signal?.reason);
    };
    const enter = () => {
      lane.waiting.delete(enter);
      signal?.removeEventListener('abort', leave);
      resolve();
    };
    lane.waiting.add(enter);
    signal?.addEventListener('abort', leave, { once: true });
  });
}

/** What another process asks; it names the lease itself, so it can take back what it never got. */
export interface LeaseWish {
  readonly connection: string;
  readonly limit: number;
  readonly lease: number;
}

/** The leases of one other process, asked for, held and given back; none outlives it. */
export class Leases {
  readonly #leave: SocketLeave;
  readonly #held = new Map<number, () => void>();
  #ended = false;

  constructor(leave: SocketLeave) {
    this.#leave = leave;
  }

  /** Resolves when the lease is granted. @throws Fault when it was released meanwhile. */
  async acquire({ connection, limit, lease }: LeaseWish): Promise<void> {
    if (this.#ended) throw new Fault('unavailable', 'The process that asks has ended');
    const waiting = new AbortController();
    const gone = new Fault('unavailable', `Lease of ${connection}: no longer wanted`);
    this.#held.set(lease, () => waiting.abort(gone));
    const release = await this.#leave.acquire(connection, limit, waiting.signal);
    if (this.#held.has(lease)) {
      this.#held.set(lease, release);
      return;
    }
    release();
    throw gone;
  }

  release(lease: number): void {
    const letGo = this.#held.get(lease);
    this.#held.delete(lease);
    letGo?.();
  }

  /** The process has ended. */
  end(): void {
    this.#ended = true;
    for (const lease of [...this.#held.keys()]) this.release(lease);
  }
}

/** How a process reaches its `Leases`; what it sends must arrive in order. */
export interface LeaseLine {
  readonly ask: (wish: LeaseWish) => Promise<unknown>;
  readonly release: (lease: number) => void;
}

/** Leave to open sockets, from another process. */
export function leaseBy({ ask, release }: LeaseLine): AcquireSocket {
  let last = 0;
  return (connection, limit, signal) => {
    const lease = ++last;
    return new Promise((resolve, reject) => {
      const giveUp = (reason: unknown) => {
        signal.removeEventListener('abort', abandon);
        release(lease);
        reject(reason);
      };
      const abandon = () => giveUp(signal.reason);
      if (signal.aborted) {
        reject(signal.reason);
        return;
      }
      signal.addEventListener('abort', abandon, { once: true });
      ask({ connection, limit, lease }).then(() => {
        signal.removeEventListener('abort', abandon);
        resolve(() => release(lease));
      }, giveUp);
    });
  };
}

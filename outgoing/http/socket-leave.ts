/**
 * Counts the sockets of each connection over all processes that ask it, first come first served.
 * One process owns it; the others reach it by whatever they talk to that process.
 */
export class SocketLeave {
  readonly #lanes = new Map<string, Lane>();

  /** Resolves when one more socket may be opened; call what it gives when the socket has closed. */
  async acquire(connection: string, limit: number): Promise<() => void> {
    const lane = this.#lanes.get(connection) ?? { open: 0, waiting: [] };
    this.#lanes.set(connection, lane);
    if (lane.open >= limit) await new Promise<void>((resolve) => lane.waiting.push(resolve));
    else lane.open++;
    let released = false;
    return () => {
      if (released) return;
      released = true;
      this.#release(connection, lane);
    };
  }

  /** Sockets open or being opened. */
  open(connection: string): number {
    return this.#lanes.get(connection)?.open ?? 0;
  }

  #release(connection: string, lane: Lane): void {
    const next = lane.waiting.shift();
    if (next !== undefined) {
      next();
      return;
    }
    lane.open--;
    if (lane.open === 0) this.#lanes.delete(connection);
  }
}

interface Lane {
  open: number;
  readonly waiting: (() => void)[];
}

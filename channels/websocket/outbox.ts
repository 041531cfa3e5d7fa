import type { Duplex } from 'node:stream';
import type { WebSocket } from 'ws';

export interface OutboxOptions {
  /** Of frames that the system has not taken yet. */
  readonly maxBytes: number;
  /** A client that takes nothing for so long, while there is too much for it, is given up. */
  readonly stallMs: number;
  /** It is full: no more should be asked for. */
  readonly full: () => void;
  /** There is room again. */
  readonly roomy: () => void;
  readonly stalled: () => void;
}

/** Frames on their way to one client. */
export class Outbox {
  readonly #socket: WebSocket;
  /** What the frames are written to in the end. */
  readonly #stream: Duplex;
  readonly #options: OutboxOptions;
  #corked = false;
  #bytes = 0;
  #full = false;
  #takenAt = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(socket: WebSocket, stream: Duplex, options: OutboxOptions) {
    this.#socket = socket;
    this.#stream = stream;
    this.#options = options;
  }

  get bytes(): number {
    return this.#bytes;
  }

  get full(): boolean {
    return this.#full;
  }

  /** False when it was not taken: there is no room, and then a listener of `roomy` will hear. */
  offer(frame: string, sent?: (error?: Error) => void): boolean {
    if (this.#full) return false;
    const size = Buffer.byteLength(frame);
    // What is larger than all the room goes alone.
    if (this.#bytes > 0 && this.#bytes + size > this.#options.maxBytes) {
      this.#fill();
      return false;
    }
    this.#write(frame, size, sent);
    return true;
  }

  /** What a client is owed, as the answer to its own request: always taken. */
  put(frame: string): void {
    this.#write(frame, Buffer.byteLength(frame), undefined);
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #write(frame: string, size: number, sent: ((error?: Error) => void) | undefined): void {
    this.#bytes += size;
    this.#cork();
    this.#socket.send(frame, (error) => {
      this.#bytes -= size;
      sent?.(error ?? undefined);
      this.#ease();
    });
    if (this.#bytes > this.#options.maxBytes) this.#fill();
  }

  /** The frames of one turn go in one call of the system, which costs more than all the rest. */
  #cork(): void {
    if (this.#corked) return;
    this.#corked = true;
    this.#stream.cork();
    process.nextTick(() => {
      this.#corked = false;
      this.#stream.uncork();
    });
  }

  #ease(): void {
    if (!this.#full) return;
    this.#takenAt = performance.now();
    if (this.#bytes > this.#options.maxBytes / 2) return;
    this.#full = false;
    this.stop();
    this.#options.roomy();
  }

  #fill(): void {
    if (this.#full) return;
    this.#full = true;
    this.#takenAt = performance.now();
    this.#watch(this.#options.stallMs);
    this.#options.full();
  }

  #watch(ms: number): void {
    this.#timer = setTimeout(() => {
      const left = this.#takenAt + this.#options.stallMs - performance.now();
      if (left > 0) this.#watch(left);
      else this.#options.stalled();
    }, ms);
  }
}

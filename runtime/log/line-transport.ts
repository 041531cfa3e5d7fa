import type { Writable } from 'node:stream';
import winston from 'winston';

/**
 * Gives lines to a stream. Debug lines wait for the end of the event loop's turn and go together: a
 * write for each costs more than making it. Any other line goes at once, with what waits before it.
 */
export class LineTransport extends winston.transports.Stream {
  readonly #stream: Writable;
  #waiting = '';
  #scheduled = false;

  constructor(stream: Writable) {
    super({ stream });
    this.#stream = stream;
  }

  /** For winston. */
  override log(entry: Readonly<Record<symbol, unknown>>, done: () => void): void {
    this.#waiting += `${entry[winstonMessage]}\n`;
    if (entry[winstonLevel] !== 'debug' || this.#waiting.length > longestWait) this.flush();
    else this.#schedule();
    done();
  }

  /** Writes what waits. */
  flush(): void {
    const text = this.#waiting;
    if (text === '') return;
    this.#waiting = '';
    this.#stream.write(text);
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      this.flush();
    });
  }
}

/** In characters. */
const longestWait = 65_536;

// The keys under which winston keeps an entry's level and its finished text (triple-beam).
const winstonLevel = Symbol.for('level');
const winstonMessage = Symbol.for('message');

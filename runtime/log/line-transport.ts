import type { Writable } from 'node:stream';
import winston from 'winston';

/**
 * Gives lines to a stream. Debug lines wait a moment and go together: a write for each, and the
 * reader it wakes, cost more than the line. Any other line goes at once, behind what waits.
 */
export class LineTransport extends winston.transports.Stream {
  readonly #stream: Writable;
  #waiting = '';
  #timer: NodeJS.Timeout | undefined;

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
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const text = this.#waiting;
    if (text === '') return;
    this.#waiting = '';
    this.#stream.write(text);
  }

  #schedule(): void {
    this.#timer ??= setTimeout(() => this.flush(), longestWaitMs);
  }
}

const longestWaitMs = 20;
/** In characters. */
const longestWait = 65_536;

// The keys under which winston keeps an entry's level and its finished text (triple-beam).
const winstonLevel = Symbol.for('level');
const winstonMessage = Symbol.for('message');

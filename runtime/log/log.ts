import type { Writable } from 'node:stream';
import winston from 'winston';
import { LineTransport } from './line-transport.ts';
import type { Facts, Level, Logger } from './logger.ts';
import type { Redactor } from './redact.ts';

export interface LogOptions {
  /** Lines below it are not written. */
  readonly level: Level;
  /** Takes whole JSON lines, newline included. Its errors are the caller's to handle. */
  readonly stream: Writable;
  readonly redactor: Redactor;
  /** Facts on every line, such as the worker's number. */
  readonly facts?: Facts;
}

/** A log of JSON lines, by winston: `{"time","level","message",...facts}`, secrets taken out. */
export class Log implements Logger {
  readonly debugging: boolean;
  readonly #winston: winston.Logger;
  readonly #facts: Facts;
  readonly #life: Life;

  static open(options: LogOptions): Log {
    const { redactor } = options;
    const clock = new Clock();
    const line = winston.format((info) => {
      const entry = info as unknown as Entry;
      const { level, message, bound, facts } = entry;
      const clean = redactor.addTo(
        { time: clock.now(), level, message: redactor.value(message) },
        bound,
      );
      entry[winstonMessage] = JSON.stringify(facts ? redactor.addTo(clean, facts) : clean);
      return info;
    });
    const transport = new LineTransport(options.stream);
    const logger = winston.createLogger({
      level: options.level,
      format: line(),
      transports: [transport],
    });
    return new Log(logger, options.facts ?? {}, { open: true, transport });
  }

  private constructor(logger: winston.Logger, facts: Facts, life: Life) {
    this.#winston = logger;
    this.#facts = facts;
    this.#life = life;
    this.debugging = logger.isDebugEnabled();
  }

  debug(message: string, facts?: Facts): void {
    if (this.debugging) this.#write('debug', message, facts);
  }

  info(message: string, facts?: Facts): void {
    this.#write('info', message, facts);
  }

  warn(message: string, facts?: Facts): void {
    this.#write('warn', message, facts);
  }

  error(message: string, facts?: Facts): void {
    this.#write('error', message, facts);
  }

  child(facts: Facts): Log {
    return new Log(this.#winston, { ...this.#facts, ...facts }, this.#life);
  }

  /** Resolves when every line has been given to the stream; closes its children too. */
  async close(): Promise<void> {
    if (!this.#life.open) return;
    this.#life.open = false;
    const finished = new Promise<void>((resolve) => this.#winston.once('finish', resolve));
    this.#winston.end();
    await finished;
    this.#life.transport.flush();
  }

  #write(level: Level, message: string, facts: Facts | undefined): void {
    if (!this.#life.open) return;
    const entry: Entry = {
      level,
      message,
      bound: this.#facts,
      facts,
      [winstonLevel]: level,
      [winstonMessage]: '',
    };
    this.#winston.write(entry);
  }
}

/** Shared with the children: a line after the end is dropped, not an error. */
interface Life {
  open: boolean;
  readonly transport: LineTransport;
}

/** Many lines are of one millisecond, and writing it out costs as much as the rest of a short line. */
class Clock {
  #ms = Number.NaN;
  #text = '';

  now(): string {
    const ms = Date.now();
    if (ms !== this.#ms) {
      this.#ms = ms;
      this.#text = new Date(ms).toISOString();
    }
    return this.#text;
  }
}

interface Entry {
  readonly level: Level;
  readonly message: string;
  /** Facts of the logger and its parents. */
  readonly bound: Facts;
  readonly facts: Facts | undefined;
  readonly [winstonLevel]: Level;
  [winstonMessage]: string;
}

// The keys under which winston keeps an entry's level and its finished text (triple-beam).
const winstonLevel: unique symbol = Symbol.for('level');
const winstonMessage: unique symbol = Symbol.for('message');

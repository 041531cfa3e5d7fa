import type { Writable } from 'node:stream';
import winston from 'winston';
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
  /** Shared with the children: a line after the end is dropped, not an error. */
  readonly #life: { open: boolean };

  static open(options: LogOptions): Log {
    const { redactor } = options;
    const line = winston.format((entry) => {
      const { level, message, facts } = entry as unknown as Entry;
      const clean = { time: new Date().toISOString(), level, message, ...redactor.facts(facts) };
      return {
        ...entry,
        [winstonMessage]: JSON.stringify(clean),
      } as winston.Logform.TransformableInfo;
    });
    const logger = winston.createLogger({
      level: options.level,
      format: line(),
      transports: [new winston.transports.Stream({ stream: options.stream, eol: '\n' })],
    });
    return new Log(logger, options.facts ?? {}, { open: true });
  }

  private constructor(logger: winston.Logger, facts: Facts, life: { open: boolean }) {
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
  }

  #write(level: Level, message: string, facts: Facts | undefined): void {
    if (!this.#life.open) return;
    const entry: Entry = {
      level,
      message,
      facts: facts ? { ...this.#facts, ...facts } : this.#facts,
    };
    this.#winston.write(Object.assign(entry, { [winstonLevel]: level }));
  }
}

interface Entry {
  level: Level;
  message: string;
  facts: Facts;
}

// The keys under which winston keeps an entry's level and its finished text (triple-beam).
const winstonLevel = Symbol.for('level');
const winstonMessage = Symbol.for('message');

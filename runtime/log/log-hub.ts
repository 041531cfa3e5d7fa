import { Writable } from 'node:stream';
import type { Level } from './logger.ts';
import { prettyLine } from './pretty.ts';
import type { Redactor } from './redact.ts';

/** One line of the log, as it is kept and shown. */
export interface LogRecord {
  /** ISO 8601. */
  readonly time: string;
  readonly level: Level;
  readonly message: string;
  readonly [fact: string]: unknown;
}

export interface LogQuery {
  readonly level?: Level;
  readonly service?: string;
  readonly cid?: string;
  /** Text anywhere in the line, case ignored. */
  readonly grep?: string;
  /** Not older than this, in ms since 1970. */
  readonly since?: number;
  /** The newest so many; default 200. */
  readonly limit?: number;
}

export interface LogHubOptions {
  readonly format: 'pretty' | 'json';
  readonly out: Writable;
  readonly colour: boolean;
  /** How many lines are kept for `hence logs`; default 5,000. */
  readonly keep?: number;
  /** Takes secrets out of what was printed to the console, and those that a worker did not know. */
  readonly redactor: Redactor;
}

const rank: Record<Level, number> = { debug: 0, info: 1, warn: 2, error: 3 };

/**
 * Where the lines of all processes come together: kept in memory for the admin API, and written to
 * the control process's output. A broken output loses lines, counted, and nothing else.
 */
export class LogHub {
  readonly #options: LogHubOptions;
  readonly #keep: number;
  readonly #listeners = new Set<(record: LogRecord) => void>();
  #lines: LogRecord[] = [];
  #dropped = 0;

  constructor(options: LogHubOptions) {
    this.#options = options;
    this.#keep = options.keep ?? 5_000;
  }

  /** Lines that could not be written out. */
  get dropped(): number {
    return this.#dropped;
  }

  /** A stream for one process's lines; what is not JSON becomes the message of a line with `facts`. */
  input(facts: Readonly<Record<string, unknown>> = {}): Writable {
    let rest = '';
    const take = (chunk: string) => {
      const lines = (rest + chunk).split('\n');
      rest = lines.pop() ?? '';
      let shown = '';
      let count = 0;
      for (const line of lines) {
        if (!line) continue;
        shown += this.#accept(line, facts);
        count++;
      }
      if (count > 0) this.#write(shown, count);
    };
    return new Writable({
      decodeStrings: false,
      defaultEncoding: 'utf8',
      write(chunk: string | Buffer, _encoding, done) {
        take(typeof chunk === 'string' ? chunk : chunk.toString('utf8'));
        done();
      },
      final(done) {
        take('\n');
        done();
      },
    });
  }

  /** Kept lines that fit, oldest first. */
  query(query: LogQuery = {}): readonly LogRecord[] {
    const found: LogRecord[] = [];
    const limit = query.limit ?? 200;
    for (let at = this.#lines.length - 1; at >= 0 && found.length < limit; at--) {
      const record = this.#lines[at];
      if (record && fits(record, query)) found.push(record);
    }
    return found.reverse();
  }

  /** Calls `listener` with each new line that fits, until the returned function is called. */
  follow(query: LogQuery, listener: (record: LogRecord) => void): () => void {
    const fitting = (record: LogRecord) => {
      if (fits(record, query)) listener(record);
    };
    this.#listeners.add(fitting);
    return () => this.#listeners.delete(fitting);
  }

  /** Gives the line as it is written out. */
  #accept(line: string, facts: Readonly<Record<string, unknown>>): string {
    const { format, colour, redactor } = this.#options;
    const own = recordOf(line);
    const dirty = own !== undefined && redactor.knows(line);
    const record = own
      ? dirty
        ? cleaned(own, redactor)
        : own
      : foreign(redactor.text(line), facts);
    this.#lines.push(record);
    if (this.#lines.length > this.#keep * 1.2) this.#lines = this.#lines.slice(-this.#keep);
    for (const listener of this.#listeners) listener(record);
    if (format === 'pretty') return prettyLine(record, colour);
    return own && !dirty ? `${line}\n` : `${JSON.stringify(record)}\n`;
  }

  /** Lines that came together go together: a write for each would cost more than the rest. */
  #write(text: string, count: number): void {
    const { out } = this.#options;
    if (!out.writable || out.writableLength > 4 * 1024 * 1024) this.#dropped += count;
    else out.write(text);
  }
}

function fits(record: LogRecord, query: LogQuery): boolean {
  if (query.level && (rank[record.level] ?? 1) < rank[query.level]) return false;
  if (query.service && record['service'] !== query.service) return false;
  if (query.cid && record['cid'] !== query.cid) return false;
  if (query.since !== undefined && Date.parse(record.time) < query.since) return false;
  if (!query.grep) return true;
  return JSON.stringify(record).toLowerCase().includes(query.grep.toLowerCase());
}

/** A line of ours, or undefined for anything else that a process printed. */
function recordOf(line: string): LogRecord | undefined {
  if (!line.startsWith('{"time":"')) return undefined;
  try {
    const record = JSON.parse(line) as Partial<LogRecord>;
    const own = record.level !== undefined && record.level in rank && record.message !== undefined;
    return own ? (record as LogRecord) : undefined;
  } catch {
    return undefined;
  }
}

function cleaned(record: LogRecord, redactor: Redactor): LogRecord {
  const { time, level, message, ...facts } = record;
  return { time, level, message: redactor.text(String(message)), ...redactor.facts(facts) };
}

/** What user code prints to the console is a line of its own. */
function foreign(line: string, facts: Readonly<Record<string, unknown>>): LogRecord {
  return { time: new Date().toISOString(), level: 'info', message: line, ...facts };
}

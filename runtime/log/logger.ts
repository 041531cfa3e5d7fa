/** Facts that go with a message. */
export type Facts = Readonly<Record<string, unknown>>;

/** What the rest of the project needs of a log: a constant message and a bag of facts. */
export interface Logger {
  debug(message: string, facts?: Facts): void;
  info(message: string, facts?: Facts): void;
  warn(message: string, facts?: Facts): void;
  error(message: string, facts?: Facts): void;
  /** A logger that adds these facts to each line. */
  child(facts: Facts): Logger;
  /** Whether debug lines are written: cached, so that a hot path may ask. */
  readonly debugging: boolean;
}

export type Level = 'debug' | 'info' | 'warn' | 'error';

import type { LogQuery, LogRecord } from '../log/log-hub.ts';
import type { LogsPort } from './ports.ts';

/** How many lines wait for a reader that is slower than the log. */
const maxWaiting = 1_000;

/**
 * The kept lines that fit, then each new one until `signal` aborts. A reader that is too slow misses
 * the oldest, and a line says how many.
 */
export async function* followLog(
  logs: LogsPort,
  query: LogQuery,
  signal: AbortSignal,
): AsyncGenerator<LogRecord, void, void> {
  const waiting: LogRecord[] = [];
  let missed = 0;
  let wake = () => {};
  const stop = logs.follow(query, (record) => {
    waiting.push(record);
    if (waiting.length > maxWaiting) {
      waiting.shift();
      missed++;
    }
    wake();
  });
  const aborted = () => wake();
  signal.addEventListener('abort', aborted);
  try {
    yield* logs.query(query);
    while (!signal.aborted) {
      if (missed > 0) {
        yield missedLine(missed);
        missed = 0;
      }
      const record = waiting.shift();
      if (record) yield record;
      else {
        await new Promise<void>((resolve) => {
          wake = resolve;
          if (signal.aborted) resolve();
        });
      }
    }
  } finally {
    stop();
    signal.removeEventListener('abort', aborted);
  }
}

function missedLine(count: number): LogRecord {
  const time = new Date().toISOString();
  return { time, level: 'warn', message: 'log lines were left out for a slow reader', count };
}

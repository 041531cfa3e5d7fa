import type { Facts, Level, Logger } from '../../runtime/log/logger.ts';

interface Line {
  readonly level: Level;
  readonly message: string;
  readonly facts: Facts;
}

/** A log that keeps its lines for the test. */
export interface CollectingLog extends Logger {
  readonly lines: readonly Line[];
}

export function collectingLog(): CollectingLog {
  return collector([], {});
}

function collector(lines: Line[], common: Facts): CollectingLog {
  const write =
    (level: Level) =>
    (message: string, facts: Facts = {}) => {
      lines.push({ level, message, facts: { ...common, ...facts } });
    };
  return {
    lines,
    debugging: true,
    debug: write('debug'),
    info: write('info'),
    warn: write('warn'),
    error: write('error'),
    child: (facts) => collector(lines, { ...common, ...facts }),
  };
}

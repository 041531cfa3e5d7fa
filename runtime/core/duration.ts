import { Fault } from './fault.ts';

const unitMs = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;

/**
 * A length of time in ms, from `"250ms"`, `"5s"`, `"10m"`, `"2h"`, `"1d"` or a plain number of ms.
 * @throws Fault `bad-request` for anything else, zero and negative numbers included.
 */
export function parseDuration(value: string | number): number {
  if (typeof value === 'number' && Number.isFinite(value) && value > 0) return value;
  const match = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/.exec(String(value).trim());
  const ms = match ? Number(match[1]) * unitMs[match[2] as keyof typeof unitMs] : 0;
  if (ms > 0) return ms;
  throw new Fault('bad-request', `Not a duration: "${value}" (write 250ms, 5s, 10m, 2h or 1d)`);
}

/** A length of time as a person writes it: `84 ms`, `5.2 s`, `3 min`. */
export function formatDuration(ms: number): string {
  if (ms < 1_000) return `${ms < 10 ? Number(ms.toFixed(1)) : Math.round(ms)} ms`;
  if (ms < 60_000) return `${Number((ms / 1_000).toFixed(1))} s`;
  return `${Number((ms / 60_000).toFixed(1))} min`;
}

const secondMs = 1_000;
const minuteMs = 60 * secondMs;
const hourMs = 60 * minuteMs;
const dayMs = 24 * hourMs;

const unitMs: Readonly<Record<string, number>> = {
  ms: 1,
  s: secondMs,
  m: minuteMs,
  h: hourMs,
  d: dayMs,
};

/** Ms from `250ms`, `5s`, `10m`, `2h`, `1d`; undefined for anything else. */
export function readDuration(text: string): number | undefined {
  const match = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/.exec(text.trim());
  const ms = Number(match?.[1]) * (unitMs[match?.[2] ?? ''] ?? Number.NaN);
  return ms > 0 ? ms : undefined;
}

/** `84 ms`, `5.2 s`, `3 min`, `2 h`, `4 d`. */
export function span(ms: number): string {
  if (ms < secondMs) return `${ms < 10 ? Number(ms.toFixed(1)) : Math.round(ms)} ms`;
  if (ms < minuteMs) return `${Number((ms / secondMs).toFixed(1))} s`;
  if (ms < hourMs) return `${Math.floor(ms / minuteMs)} min`;
  if (ms < 2 * dayMs) return `${Math.floor(ms / hourMs)} h`;
  return `${Math.floor(ms / dayMs)} d`;
}

/** How long ago an ISO time was; the text itself when it is not a time. */
export function ago(iso: unknown, now = Date.now()): string {
  const at = Date.parse(String(iso));
  if (Number.isNaN(at)) return iso === undefined ? '-' : String(iso);
  const ms = Math.max(0, now - at);
  return ms < secondMs ? 'just now' : `${span(Math.floor(ms / secondMs) * secondMs)} ago`;
}

/** `1,204`. */
export function count(value: number): string {
  return String(value).replace(/\B(?=(\d{3})+$)/g, ',');
}

/** `12.3 MB`. */
export function bytes(value: number): string {
  if (value < 1024) return `${value} B`;
  if (value < 1024 ** 2) return `${(value / 1024).toFixed(1)} kB`;
  return `${(value / 1024 ** 2).toFixed(1)} MB`;
}

/** The text without control characters: data must not drive the terminal. */
export function printable(text: string): string {
  return text.replace(/\p{Cc}/gu, (char) => (char === '\t' ? '  ' : char === '\n' ? '\n' : ''));
}

/** A value in a table: `-` for nothing, JSON for what is not a scalar. */
export function cell(value: unknown): string {
  if (value === undefined || value === null || value === '') return '-';
  if (Array.isArray(value)) return value.map(cell).join(', ');
  if (typeof value === 'object') return JSON.stringify(value);
  return printable(String(value)).replaceAll('\n', ' ');
}

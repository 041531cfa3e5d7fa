const iso =
  /^(\d{4})(-?)(\d\d)\2(\d\d)(?:[T ](\d\d)(?::?(\d\d)(?::?(\d\d)(?:[.,](\d{1,9}))?)?)?(Z|[+-]\d\d(?::?\d\d)?)?)?$/i;
const dayMs = 86_400_000;
/** The end of the year 9999: Python has no later time. */
const latestMs = 253_402_300_799_999;

/**
 * An ISO 8601 time as Python's `isoformat` writes it; undefined for what is none. Without an offset it
 * is UTC.
 */
export function normalTime(text: string): string | undefined {
  const match = iso.exec(text);
  if (!match) return undefined;
  const [, year = '', , month = '', day = '', hour = '00', minute = '00', second = '00'] = match;
  const offset = offsetOf(match[9]);
  if (offset === undefined || !isDate(Number(year), Number(month), Number(day))) return undefined;
  if (Number(hour) > 23 || Number(minute) > 59 || Number(second) > 59) return undefined;
  const micros = (match[8] ?? '').padEnd(6, '0').slice(0, 6);
  const fraction = micros === '000000' ? '' : `.${micros}`;
  return `${year}-${month}-${day}T${hour}:${minute}:${second}${fraction}${offset}`;
}

/** ms since 1970 as Python's `isoformat` writes it, in UTC and always with microseconds. */
export function pythonTime(ms: number): string {
  const text = new Date(Math.min(Math.max(Math.floor(ms), 0), latestMs)).toISOString();
  return `${text.slice(0, 23)}000+00:00`;
}

/** A length of time as Python's `str(timedelta)` writes it: `[D day[s], ]H:MM:SS[.ffffff]`. */
export function pythonSpan(ms: number): string {
  const span = Math.max(0, Math.floor(ms));
  const days = Math.floor(span / dayMs);
  const seconds = Math.floor((span % dayMs) / 1_000);
  const hours = Math.floor(seconds / 3_600);
  const clock = `${hours}:${two(Math.floor(seconds / 60) % 60)}:${two(seconds % 60)}`;
  const rest = span % 1_000;
  const fraction = rest === 0 ? '' : `.${String(rest).padStart(3, '0')}000`;
  if (days === 0) return clock + fraction;
  return `${days} ${days === 1 ? 'day' : 'days'}, ${clock}${fraction}`;
}

function offsetOf(written: string | undefined): string | undefined {
  if (written === undefined || written === 'Z' || written === 'z') return '+00:00';
  const hours = written.slice(1, 3);
  const minutes = written.slice(3).replace(':', '') || '00';
  if (Number(hours) > 23 || Number(minutes) > 59) return undefined;
  return `${written[0]}${hours}:${minutes}`;
}

function isDate(year: number, month: number, day: number): boolean {
  if (year < 1) return false;
  // Date.UTC would take the years 0-99 for 1900-1999.
  const date = new Date(0);
  date.setUTCFullYear(year, month - 1, day);
  return date.getUTCMonth() === month - 1 && date.getUTCDate() === day;
}

function two(value: number): string {
  return String(value).padStart(2, '0');
}

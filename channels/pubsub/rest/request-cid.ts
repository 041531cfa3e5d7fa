import { randomUUID } from 'node:crypto';

/** A correlation id as Zato 4 writes it, in UTC: `YYYYMMDD-HHMMSS-ssss-<16 hex>a`, ssss in 100 us. */
export function requestCid(): string {
  const text = new Date().toISOString();
  const day = text.slice(0, 4) + text.slice(5, 7) + text.slice(8, 10);
  const time = text.slice(11, 13) + text.slice(14, 16) + text.slice(17, 19);
  // The clock of the wall has whole ms; the fourth digit is the monotonic clock's.
  const tenth = Math.floor(performance.now() * 10) % 10;
  const id = randomUUID();
  // These digits of a UUID are all random.
  return `${day}-${time}-${text.slice(20, 23)}${tenth}-${id.slice(24)}${id.slice(0, 4)}a`;
}

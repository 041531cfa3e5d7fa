import { randomUUID } from 'node:crypto';

/** Strings whole, so that nothing within them is taken for a number; and numbers. */
const token = /"[^"\\]*(?:\\.[^"\\]*)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g;
/** Nobody else's data can hold it. */
const mark = `number:${randomUUID()}:`;
const marked = new RegExp(`"${mark}([^"]*)"`, 'g');

/**
 * JSON text to a value; a number that JavaScript would change (12345678901234567890, 1e400, 1.0) becomes
 * a mark, which `exactText` turns back into the number as it was written.
 */
export function parseExact(text: string): unknown {
  return JSON.parse(
    text.replace(token, (one) =>
      one.startsWith('"') || String(Number(one)) === one ? one : `"${mark}${one}"`,
    ),
  );
}

/** JSON text with the numbers that `parseExact` marked. */
export function exactText(json: string): string {
  return json.includes(mark) ? json.replace(marked, '$1') : json;
}

/** A copy with bigints and numbers in the place of marks, for what is not JSON. */
export function plainNumbers(value: unknown): unknown {
  if (typeof value === 'string') return value.startsWith(mark) ? numberOf(value) : value;
  if (Array.isArray(value)) return value.map(plainNumbers);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, plainNumbers(one)]));
}

function numberOf(value: string): bigint | number {
  const text = value.slice(mark.length);
  return /^-?\d+$/.test(text) ? BigInt(text) : Number(text);
}

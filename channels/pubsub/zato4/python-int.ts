const digits = /^\s*[+-]?\d+(?:_\d+)*\s*$/;

/** What Python's `int()` makes of a JSON value; undefined where it raises. */
export function pythonInt(value: unknown): number | undefined {
  if (typeof value === 'boolean') return value ? 1 : 0;
  if (typeof value === 'number') return whole(Math.trunc(value));
  if (typeof value !== 'string' || !digits.test(value)) return undefined;
  return whole(Number(value.trim().replaceAll('_', '')));
}

/** No infinity, and no negative zero. */
function whole(value: number): number | undefined {
  return Number.isFinite(value) ? value + 0 : undefined;
}

import { randomUUID } from 'node:crypto';

/** JSON, in which a BigInt is a number with all its digits. */
export function toJson(value: unknown): string {
  let written: string | undefined;
  try {
    written = JSON.stringify(value);
  } catch (error) {
    if (!hasBigInt(error)) throw error;
    written = withBigInts(value);
  }
  if (written === undefined) throw new TypeError(`a ${typeof value} has no JSON`);
  return written;
}

function hasBigInt(error: unknown): boolean {
  return error instanceof TypeError && error.message.includes('BigInt');
}

function withBigInts(value: unknown): string | undefined {
  // Nobody can know this mark, so no string of the value can look like it.
  const mark = `bigint-${randomUUID()}:`;
  const marked = JSON.stringify(value, (_, item: unknown) =>
    typeof item === 'bigint' ? `${mark}${item}` : item,
  );
  return marked?.replaceAll(new RegExp(`"${mark}(-?\\d+)"`, 'g'), '$1');
}

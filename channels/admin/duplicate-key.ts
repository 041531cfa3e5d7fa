/** Strings whole, with the colon that makes one a key; and where objects begin and end. */
const token = /("[^"\\]*(?:\\.[^"\\]*)*")(\s*:)?|[{}]/g;

/** The first key that an object has twice, in text already known to be JSON. */
export function duplicateKey(text: string): string | undefined {
  const objects: Set<string>[] = [];
  for (const [sign, string, colon] of text.matchAll(token)) {
    if (sign === '{') objects.push(new Set());
    else if (sign === '}') objects.pop();
    if (string === undefined || colon === undefined) continue;
    // Two spellings of one key are one key: "a" and "\u0061".
    const key = String(JSON.parse(string));
    const keys = objects.at(-1);
    if (keys?.has(key)) return key;
    keys?.add(key);
  }
  return undefined;
}

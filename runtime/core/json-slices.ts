/** Where a value stands in a text: from `start` up to, and without, `end`. */
interface Slice {
  readonly start: number;
  readonly end: number;
}

/**
 * Where the value of a top-level key stands in the text of a JSON object: its exact characters, which
 * parsing and writing again would lose (big integers, `-0`, `1e400`). Of equal keys the last counts, as
 * with `JSON.parse`. The text must have been parsed before; nothing is checked here.
 */
export function sliceOfKey(text: string, key: string): Slice | undefined {
  let found: Slice | undefined;
  let at = skipSpace(text, text.indexOf('{') + 1);
  while (text.charCodeAt(at) === quote) {
    const keyEnd = endOfString(text, at);
    const start = skipSpace(text, skipSpace(text, keyEnd) + 1);
    const end = endOfValue(text, start);
    if (isKey(text, { start: at, end: keyEnd }, key)) found = { start, end };
    at = skipSpace(text, end);
    if (text.charCodeAt(at) !== comma) break;
    at = skipSpace(text, at + 1);
  }
  return found;
}

const quote = 0x22;
const comma = 0x2c;
const backslash = 0x5c;

function isKey(text: string, { start, end }: Slice, key: string): boolean {
  const written = text.slice(start + 1, end - 1);
  if (written === key) return true;
  return written.includes('\\') && JSON.parse(text.slice(start, end)) === key;
}

function endOfValue(text: string, start: number): number {
  const first = text.charCodeAt(start);
  if (first === quote) return endOfString(text, start);
  if (opens(first)) return endOfNested(text, start);
  let at = start;
  while (at < text.length && !endsScalar(text.charCodeAt(at))) at++;
  return at;
}

function endOfNested(text: string, start: number): number {
  let depth = 0;
  let at = start;
  while (at < text.length) {
    const code = text.charCodeAt(at);
    if (code === quote) {
      at = endOfString(text, at);
      continue;
    }
    at++;
    if (opens(code)) depth++;
    else if (closes(code) && --depth === 0) break;
  }
  return at;
}

/** The place after the closing quote. */
function endOfString(text: string, start: number): number {
  let end = text.indexOf('"', start + 1);
  while (end > 0 && isEscaped(text, end)) end = text.indexOf('"', end + 1);
  return end < 0 ? text.length : end + 1;
}

/** After an odd number of backslashes. */
function isEscaped(text: string, at: number): boolean {
  let first = at;
  while (text.charCodeAt(first - 1) === backslash) first--;
  return (at - first) % 2 === 1;
}

function opens(code: number): boolean {
  return code === 0x7b || code === 0x5b;
}

function closes(code: number): boolean {
  return code === 0x7d || code === 0x5d;
}

function endsScalar(code: number): boolean {
  return code === comma || closes(code) || isSpace(code);
}

function isSpace(code: number): boolean {
  return code === 0x20 || code === 0x0a || code === 0x0d || code === 0x09;
}

function skipSpace(text: string, from: number): number {
  let at = from;
  while (isSpace(text.charCodeAt(at))) at++;
  return at;
}

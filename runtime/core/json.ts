import secureJson from 'secure-json-parse';
import { Fault } from './fault.ts';

/** Deeper values parse, but break whoever serialises them again. */
export const maxJsonDepth = 100;

/**
 * JSON text to a value.
 * @throws Fault `bad-request` for text that is not JSON, nests deeper than 100 levels, or has a key
 * that would reach an object's prototype.
 */
export function parseJson(text: string, what = 'Body'): unknown {
  let value: unknown;
  try {
    value = secureJson.parse(text, undefined, { protoAction: 'error', constructorAction: 'error' });
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new Fault('bad-request', `${what} is not valid JSON: ${reason}`, { cause: error });
  }
  if (opens(text) > maxJsonDepth && depthOf(text) > maxJsonDepth) {
    throw new Fault('bad-request', `${what} nests deeper than ${maxJsonDepth} levels`);
  }
  return value;
}

/** How many brackets open, strings included: never less than the depth, and cheap to count. */
function opens(text: string): number {
  let count = 0;
  for (let at = 0; at < text.length && count <= maxJsonDepth; at++) {
    const code = text.charCodeAt(at);
    if (code === 0x5b || code === 0x7b) count++;
  }
  return count;
}

/** The deepest nesting of text already known to be JSON. */
function depthOf(text: string): number {
  let depth = 0;
  let deepest = 0;
  for (const [sign] of text.matchAll(/"(?:[^"\\]|\\.)*"|[[\]{}]/g)) {
    if (sign === '[' || sign === '{') deepest = Math.max(deepest, ++depth);
    else if (sign === ']' || sign === '}') depth--;
  }
  return deepest;
}

import { isUtf8 } from 'node:buffer';
import { Fault } from '../../../runtime/core/fault.ts';
import { parseJson } from '../../../runtime/core/json.ts';

/** A body that is a JSON object: what it says, and how. */
export interface Input {
  readonly text: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

/**
 * A body as a JSON object; undefined for another JSON value. An empty one is not JSON.
 * @throws Fault `bad-request`
 */
export function parseInput(body: Buffer): Input | undefined {
  if (!isUtf8(body)) throw new Fault('bad-request', 'JSON parsing error: the body is not UTF-8');
  const text = body.toString('utf8');
  const fields = parse(text);
  if (typeof fields !== 'object' || fields === null || Array.isArray(fields)) return undefined;
  return { text, fields: fields as Input['fields'] };
}

function parse(text: string): unknown {
  try {
    return parseJson(text);
  } catch (error) {
    const cause = error instanceof Error ? error.cause : undefined;
    if (!(cause instanceof Error)) throw error;
    throw new Fault('bad-request', `JSON parsing error: ${cause.message}`, { cause });
  }
}

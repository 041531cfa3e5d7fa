import { Fault } from '../core/fault.ts';
import { maxJsonDepth } from '../core/json.ts';

/** Kinds of objects that JSON.stringify turns into `{}` without a word. */
const lost = new Set(['Map', 'Set', 'WeakMap', 'WeakSet', 'Promise', 'Error', 'RegExp']);

/**
 * JSON text of a value that says the same when it is read again. Properties that are `undefined` are
 * left out, as JSON.stringify does.
 * @throws Fault `bad-request` naming the place of what JSON cannot hold or would change: `undefined`
 * elsewhere, functions, BigInts, NaN, bytes, Maps, Promises, a value that holds itself, and more than
 * 100 levels, which no door reads.
 */
export function jsonText(value: unknown, where: string): string {
  check(value, where, []);
  return JSON.stringify(value);
}

function check(value: unknown, where: string, above: readonly object[]): void {
  switch (typeof value) {
    case 'string':
    case 'boolean':
      return;
    case 'number':
      if (!Number.isFinite(value)) throw refusal(where, `is ${value}, which JSON does not know`);
      return;
    case 'object':
      if (value !== null) checkObject(value, where, above);
      return;
    case 'undefined':
      throw refusal(where, 'is undefined');
    case 'bigint':
      throw refusal(where, 'is a BigInt, which JSON does not know: give it as text');
    case 'function':
    case 'symbol':
      throw refusal(where, `is a ${typeof value}, which JSON does not know`);
  }
}

function checkObject(value: object, where: string, above: readonly object[]): void {
  const problem = above.includes(value) ? 'holds itself' : problemOf(value, above.length);
  if (problem !== undefined) throw refusal(where, problem);
  const within = [...above, value];
  if (Array.isArray(value)) {
    // Not forEach, which passes over holes.
    for (let at = 0; at < value.length; at++) check(value[at], `${where}[${at}]`, within);
    return;
  }
  if ('toJSON' in value && typeof value.toJSON === 'function') {
    check(value.toJSON(''), where, within);
    return;
  }
  for (const [key, field] of Object.entries(value)) {
    if (key === '__proto__') throw refusal(where, 'has a key "__proto__", which no reader takes');
    if (field !== undefined) check(field, `${where}.${key}`, within);
  }
}

function problemOf(value: object, depth: number): string | undefined {
  if (depth >= maxJsonDepth) return `is more than ${maxJsonDepth} levels deep`;
  if (Array.isArray(value)) return undefined;
  if (ArrayBuffer.isView(value) || value instanceof ArrayBuffer) {
    return 'is bytes inside JSON: publish the bytes alone, or as Base64 text';
  }
  const kind = Object.prototype.toString.call(value).slice('[object '.length, -1);
  if (kind === 'Promise') return 'is a Promise: await it';
  if (lost.has(kind)) return `is a ${kind}, which JSON does not know`;
  const invalid = value instanceof Date && Number.isNaN(value.getTime());
  return invalid ? 'is an invalid Date' : undefined;
}

function refusal(where: string, reason: string): Fault {
  return new Fault('bad-request', `${where} ${reason}`);
}

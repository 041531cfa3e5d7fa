import { Fault } from '../../runtime/core/fault.ts';

/** A segment of a channel's path: its text as it comes in a request, or the name of a `{param}`. */
export type Segment = string | { readonly param: string };

const maxPathLength = 1_024;

// RFC 3986 calls these pchar, without the escapes.
const literal = /^(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})+$/;
const param = /^\{([A-Za-z_][A-Za-z0-9_]*)\}$/;
const dots = /^(?:\.|%2e){1,2}$/i;
const escaped = /%[0-9A-Fa-f]{2}/g;

/**
 * The segments of `/x/{id}/y`; a slash at the end is an empty last segment.
 * @throws Fault `bad-request` saying what is wrong with the path.
 */
export function parsePath(path: string): readonly Segment[] {
  if (!path.startsWith('/')) throw refused(path, 'must start with "/"');
  if (path.length > maxPathLength)
    throw refused(path, `is longer than ${maxPathLength} characters`);
  const parts = path.slice(1).split('/');
  const names = new Set<string>();
  return parts.map((part, index) => {
    if (part === '' && index === parts.length - 1) return '';
    const name = param.exec(part)?.[1];
    if (name === undefined) return literalOf(path, part);
    if (name === '__proto__') throw refused(path, 'has a param that cannot be named __proto__');
    if (names.has(name)) throw refused(path, `has the param {${name}} twice`);
    names.add(name);
    return { param: interned(name) };
  });
}

/** What two paths have in common when they take the same requests, whatever their params are called. */
export function shapeOf(segments: readonly Segment[], matchSlash: boolean): string {
  const mark = matchSlash ? '{/}' : '{}';
  return `/${segments.map((segment) => (typeof segment === 'string' ? segment : mark)).join('/')}`;
}

/** One spelling of a path's escapes: `%c3` becomes `%C3`. */
export function normalizeEscapes(path: string): string {
  return path.includes('%') ? path.replace(escaped, (found) => found.toUpperCase()) : path;
}

/** The one copy of a text that V8 keeps for keys: thousands of channels then share it. */
export function interned(text: string): string {
  return Object.keys({ [text]: true })[0] ?? text;
}

function literalOf(path: string, part: string): string {
  if (part === '') throw refused(path, 'has an empty segment');
  if (dots.test(part)) throw refused(path, `cannot have the segment "${part}"`);
  if (/[{}]/.test(part)) {
    throw refused(path, `has "${part}": a {param} is a whole segment, of letters, digits and "_"`);
  }
  // A request has non-ASCII letters as escaped UTF-8.
  const text = part.replace(/[^\0-\x7f]+/gu, (letters) => encodeURIComponent(wellFormed(letters)));
  if (!literal.test(text)) throw refused(path, `has a character that a URL path cannot have`);
  return normalizeEscapes(text);
}

function wellFormed(text: string): string {
  return text.replace(/[\ud800-\udfff]/gu, '\ufffd');
}

function refused(path: string, reason: string): Fault {
  const shown = path.length > 60 ? `${path.slice(0, 60)}...` : path;
  return new Fault('bad-request', `The path "${shown}" ${reason}`);
}

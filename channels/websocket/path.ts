import { Fault } from '../../runtime/core/fault.ts';

const maxPathLength = 1_024;
// RFC 3986 calls these pchar.
const segment = /^(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})*$/;
const dots = /^(?:\.|%2e){1,2}$/i;
const escaped = /%[0-9A-Fa-f]{2}/g;

/**
 * The path of a WebSocket channel is taken as it stands: it has no params.
 * @throws Fault `bad-request` saying what is wrong with it.
 */
export function checkPath(path: string): void {
  if (!path.startsWith('/')) throw refused(path, 'must start with "/"');
  if (path.length > maxPathLength) {
    throw refused(path, `is longer than ${maxPathLength} characters`);
  }
  const parts = normalizePath(path).slice(1).split('/');
  for (const [at, part] of parts.entries()) {
    if (part === '' && at < parts.length - 1) throw refused(path, 'has an empty segment');
    if (dots.test(part)) throw refused(path, `cannot have the segment "${part}"`);
    if (/[{}]/.test(part))
      throw refused(path, 'cannot have {params}: a WebSocket channel has none');
    if (!segment.test(part)) throw refused(path, 'has a character that a URL path cannot have');
  }
}

/** As a request has it: non-ASCII letters as escaped UTF-8, escapes in upper case. */
export function normalizePath(path: string): string {
  const ascii = path.replace(/[^\0-\x7f]+/gu, (letters) =>
    encodeURIComponent(letters.replace(/[\ud800-\udfff]/gu, '\ufffd')),
  );
  return ascii.includes('%') ? ascii.replace(escaped, (found) => found.toUpperCase()) : ascii;
}

/** The path of a request's target: without the query, and without the origin that a proxy puts in front. */
export function pathOf(url: string): string {
  const local = url.startsWith('/') ? url : url.replace(/^(?:https?|wss?):\/\/[^/?]*/i, '');
  const mark = local.indexOf('?');
  return normalizePath(mark < 0 ? local : local.slice(0, mark));
}

function refused(path: string, reason: string): Fault {
  const shown = path.length > 60 ? `${path.slice(0, 60)}...` : path;
  return new Fault('bad-request', `The path "${shown}" ${reason}`);
}

import { isAbsolute } from 'node:path';
import { Fault } from '../core/fault.ts';

/** Where a Redis is: a `redis://` or `rediss://` address, or a unix socket. */
export type RedisTarget = { readonly url: string } | { readonly path: string };

/** Reads `redis://...`, `rediss://...`, `unix:///path` or `/path`. */
export function parseRedisTarget(urlOrPath: string): RedisTarget {
  const text = urlOrPath.trim();
  if (isAbsolute(text)) return { path: text };
  const path = /^unix:(?:\/\/)?(\/.+)$/.exec(text)?.[1];
  if (path !== undefined) return { path };
  const problem = problemOf(text);
  if (problem === undefined) return { url: text };
  throw new Fault('bad-request', `Redis address ${hide(text)}: ${problem}`);
}

/** The target without its password, for logs and messages. */
export function showTarget(target: RedisTarget): string {
  if ('path' in target) return target.path;
  const url = URL.canParse(target.url) ? new URL(target.url) : undefined;
  if (url === undefined) return hide(target.url);
  const user = url.username === '' && url.password === '' ? '' : `${url.username}:***@`;
  return `${url.protocol}//${user}${url.host}${url.pathname === '/' ? '' : url.pathname}`;
}

function problemOf(text: string): string | undefined {
  if (!/^rediss?:\/\//i.test(text)) {
    return 'expected redis://host:port, rediss://host:port or the absolute path of a unix socket';
  }
  if (!URL.canParse(text)) {
    return 'not a valid URL; a user or password with special characters must be percent-encoded';
  }
  const url = new URL(text);
  if (url.hostname === '') return 'the host is missing';
  if (!/^\/?\d*$/.test(url.pathname)) return 'after the host only a database number may follow';
  return undefined;
}

/** Masks all that may be a password in a text that need not be a URL. */
function hide(text: string): string {
  const shown = text.replace(/\?.*$/s, '?***');
  const at = shown.lastIndexOf('@');
  if (at === -1) return shown;
  const scheme = /^[a-z]+:\/\//i.exec(shown)?.[0] ?? '';
  return `${scheme}***${shown.slice(at)}`;
}

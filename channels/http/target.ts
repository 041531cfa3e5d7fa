import { HttpFault } from './http-fault.ts';

const maxUrlLength = 8_192;

/** A request's target, in its two parts. */
export interface Target {
  readonly path: string;
  /** Without the question mark; empty when there is none. */
  readonly search: string;
}

/** @throws Fault `bad-request`, status 414, for a URL over 8 KB. */
export function splitTarget(url: string): Target {
  if (url.length > maxUrlLength) {
    throw new HttpFault(414, 'bad-request', `The URL is longer than ${maxUrlLength} characters`);
  }
  const local = url.startsWith('/') ? url : withoutOrigin(url);
  const mark = local.indexOf('?');
  if (mark < 0) return { path: local, search: '' };
  return { path: local.slice(0, mark), search: local.slice(mark + 1) };
}

/** A proxy may send the whole URL: `GET http://host/path`. */
function withoutOrigin(url: string): string {
  const path = /^https?:\/\/[^/?]*(.*)$/i.exec(url)?.[1];
  if (path === undefined) return url;
  return path.startsWith('/') ? path : `/${path}`;
}

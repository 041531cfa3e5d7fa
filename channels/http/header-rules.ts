const token = /^[A-Za-z0-9!#$%&'*+.^_`|~-]+$/;
const value = /^[\t\x20-\x7e\x80-\xff]*$/;

/** They belong to the connection or are written by the server itself. */
const reserved = new Set([
  'connection',
  'content-length',
  'date',
  'keep-alive',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'x-hence-cid',
]);

export function isHeaderName(text: string): boolean {
  return token.test(text);
}

export function isHeaderValue(text: string): boolean {
  return value.test(text);
}

/** Whether a header is not for a channel or a service to set. */
export function isReservedHeader(name: string): boolean {
  return reserved.has(name.toLowerCase());
}

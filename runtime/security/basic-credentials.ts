export const maxUsernameBytes = 200;
export const maxPasswordBytes = 1_024;

/** `Basic ` and base64 of the longest user, colon and password; anything longer is not read. */
const maxHeaderLength = 6 + Math.ceil((maxUsernameBytes + 1 + maxPasswordBytes) / 3) * 4;
const scheme = /^basic +([A-Za-z0-9+/]+={0,2})$/i;
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what RFC 7617 forbids
const control = /[\u0000-\u001f\u007f]/;
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

export interface BasicCredentials {
  readonly username: string;
  readonly password: string;
}

/** The user and password of an `Authorization: Basic` header, or undefined if it is not one (RFC 7617). */
export function parseBasic(header: string | undefined): BasicCredentials | undefined {
  if (header === undefined || header.length > maxHeaderLength) return undefined;
  const encoded = scheme.exec(header)?.[1];
  if (encoded === undefined || encoded.length % 4 !== 0) return undefined;
  const text = decode(encoded);
  const colon = text?.indexOf(':') ?? -1;
  if (text === undefined || colon < 0 || control.test(text)) return undefined;
  const username = text.slice(0, colon).normalize('NFC');
  const password = text.slice(colon + 1).normalize('NFC');
  if (username === '' || Buffer.byteLength(username) > maxUsernameBytes) return undefined;
  if (Buffer.byteLength(password) > maxPasswordBytes) return undefined;
  return { username, password };
}

/** Whether text can be sent as a user name: no colon (it would end there), no control characters. */
export function isUsername(text: string): boolean {
  return (
    text !== '' &&
    !text.includes(':') &&
    !control.test(text) &&
    Buffer.byteLength(text) <= maxUsernameBytes
  );
}

export function isPassword(text: string): boolean {
  return text !== '' && !control.test(text) && Buffer.byteLength(text) <= maxPasswordBytes;
}

function decode(encoded: string): string | undefined {
  try {
    return decoder.decode(Buffer.from(encoded, 'base64'));
  } catch {
    return undefined;
  }
}

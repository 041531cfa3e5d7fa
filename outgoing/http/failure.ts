import { Fault } from '../../runtime/core/fault.ts';

/** Why a try brought no reply; the first four may be named in a retry policy, `queue` is a timeout there. */
export type FailureKind =
  | 'connect'
  | 'reset'
  | 'timeout'
  | 'invalid'
  | 'queue'
  | 'refused'
  | 'caller';

export interface Failure {
  readonly kind: FailureKind;
  readonly fault: Fault;
}

export interface Circumstances {
  readonly name: string;
  /** The URL as it may be shown: no query, no filled-in params. */
  readonly place: string;
  readonly connectMs: number;
  readonly attemptMs: number;
  readonly maxResponse: number;
}

interface Known {
  readonly kind: FailureKind;
  readonly code: 'unavailable' | 'timeout' | 'bad-request';
  readonly says: (at: Circumstances) => string;
}

const failed = (kind: FailureKind, says: string): Known => ({
  kind,
  code: 'unavailable',
  says: () => says,
});
const late: Known = {
  kind: 'timeout',
  code: 'timeout',
  says: (at) => `did not answer in ${at.attemptMs} ms`,
};
const noAccept: Known = {
  kind: 'connect',
  code: 'timeout',
  says: (at) => `did not accept a connection in ${at.connectMs} ms`,
};
const died = failed('reset', 'closed the connection before it had answered');
const unreachable = failed('connect', 'cannot be reached');
const noHost = failed('connect', 'has a host name that cannot be resolved');
const tooLong = failed('invalid', 'answered with more header bytes than are read');
const closing = failed('caller', 'was changed or removed while the call waited');

/** Codes of Node, OpenSSL and undici. */
const known: ReadonlyMap<string, Known> = new Map([
  ['ECONNREFUSED', failed('connect', 'refused the connection')],
  ['ENOTFOUND', noHost],
  ['EAI_AGAIN', noHost],
  ['EHOSTUNREACH', unreachable],
  ['ENETUNREACH', unreachable],
  ['EHOSTDOWN', unreachable],
  ['EADDRNOTAVAIL', unreachable],
  ['EACCES', unreachable],
  ['ETIMEDOUT', noAccept],
  ['UND_ERR_CONNECT_TIMEOUT', noAccept],
  ['ECONNRESET', died],
  ['ECONNABORTED', died],
  ['EPIPE', died],
  ['UND_ERR_SOCKET', died],
  ['UND_ERR_HEADERS_TIMEOUT', late],
  ['UND_ERR_BODY_TIMEOUT', late],
  ['UND_ERR_HEADERS_OVERFLOW', tooLong],
  ['HPE_HEADER_OVERFLOW', tooLong],
  [
    'UND_ERR_RES_CONTENT_LENGTH_MISMATCH',
    failed('invalid', 'answered with a body of the wrong length'),
  ],
  [
    'UND_ERR_RES_EXCEEDED_MAX_SIZE',
    {
      kind: 'refused',
      code: 'unavailable',
      says: (at) => `answered with more than ${at.maxResponse} bytes`,
    },
  ],
  [
    'UND_ERR_INVALID_ARG',
    { kind: 'caller', code: 'bad-request', says: () => 'cannot be sent such a header or path' },
  ],
  ['UND_ERR_CLOSED', closing],
  ['UND_ERR_DESTROYED', closing],
  ['CERT_HAS_EXPIRED', failed('refused', 'is not trusted: its TLS certificate has expired')],
  ['CERT_NOT_YET_VALID', failed('refused', 'is not trusted: its TLS certificate is not valid yet')],
  [
    'DEPTH_ZERO_SELF_SIGNED_CERT',
    failed('refused', 'is not trusted: its TLS certificate is self-signed'),
  ],
  [
    'SELF_SIGNED_CERT_IN_CHAIN',
    failed('refused', 'is not trusted: its TLS certificate chain is self-signed'),
  ],
  [
    'ERR_TLS_CERT_ALTNAME_INVALID',
    failed('refused', 'is not trusted: its TLS certificate is for another host'),
  ],
]);

const untrusted = failed('refused', 'is not trusted: the issuer of its TLS certificate is unknown');
const noTls = failed('refused', 'does not speak TLS as it should');
const garbage = failed('invalid', 'answered with something that is not HTTP');
const unknown = failed('reset', 'could not be called');

/** What an error of undici means, with nothing of the request or the reply in it. */
export function failureOf(error: unknown, at: Circumstances): Failure {
  const code = codeOf(error);
  const { kind, code: faultCode, says } = known.get(code) ?? byPrefix(code);
  const message = `Outgoing ${at.name}: ${at.place} ${says(at)}`;
  return { kind, fault: new Fault(faultCode, message, { cause: bare(error, code) }) };
}

function byPrefix(code: string): Known {
  if (code.startsWith('HPE_')) return garbage;
  if (code.startsWith('UNABLE_TO_') || code.startsWith('CERT_')) return untrusted;
  return code.startsWith('ERR_SSL_') || code === 'EPROTO' ? noTls : unknown;
}

function codeOf(error: unknown): string {
  if (!(error instanceof Error)) return '';
  if ('code' in error && error.code !== undefined) return String(error.code);
  // The parser of undici does not always say which of its errors it was.
  return error.name === 'HTTPParserError' ? 'HPE_UNKNOWN' : '';
}

/** The error without its own properties: a parser's error holds what the other side sent. */
function bare(error: unknown, code: string): Error {
  const reason = error instanceof Error ? error.message : String(error);
  // "invalid <name> header" apart, undici's own words never quote a value.
  return new Error(code === '' ? reason : `${code}: ${reason}`);
}

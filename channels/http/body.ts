import type { IncomingMessage } from 'node:http';
import getRawBody from 'raw-body';
import { Fault } from '../../runtime/core/fault.ts';
import { HttpFault } from './http-fault.ts';

export function hasBody({ headers }: IncomingMessage): boolean {
  if (headers['transfer-encoding'] !== undefined) return true;
  const length = headers['content-length'];
  return length !== undefined && length !== '0';
}

/**
 * Reads the body up to the limit. The error is a Fault: `too-large`, or `bad-request` when the body
 * broke off.
 */
export function readBody(
  req: IncomingMessage,
  limit: number,
  done: (error: Fault | undefined, body: Buffer) => void,
): void {
  refuseEncoding(req);
  const length = req.headers['content-length'];
  const options = length === undefined ? { limit } : { limit, length };
  getRawBody(req, options, (error: getRawBody.RawBodyError | null, body) => {
    done(error ? faultOf(error, limit) : undefined, body);
  });
}

function refuseEncoding({ headers }: IncomingMessage): void {
  const encoding = headers['content-encoding'];
  if (encoding === undefined || encoding === '' || encoding.toLowerCase() === 'identity') return;
  throw new HttpFault(415, 'bad-request', 'Bodies are taken without Content-Encoding only');
}

function faultOf(error: getRawBody.RawBodyError, limit: number): Fault {
  if (error.type === 'entity.too.large') {
    return new Fault('too-large', `The body is longer than ${limit} bytes`, { details: { limit } });
  }
  return new Fault('bad-request', 'The body broke off', { cause: error });
}

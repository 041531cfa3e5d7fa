import type { IncomingMessage } from 'node:http';
import getRawBody from 'raw-body';
import { Fault } from '../../../runtime/core/fault.ts';

/** Zato 4 takes 8 MB. */
const maxBodyBytes = 8 * 1_048_576;

const noBytes = Buffer.alloc(0);

export function hasBody({ headers }: IncomingMessage): boolean {
  if (headers['transfer-encoding'] !== undefined) return true;
  const length = headers['content-length'];
  return length !== undefined && length !== '0';
}

/** @throws Fault `too-large`; `bad-request` when the body is encoded or broke off. */
export async function readBody(req: IncomingMessage): Promise<Buffer> {
  if (!hasBody(req)) return noBytes;
  const encoding = req.headers['content-encoding'] ?? '';
  if (encoding !== '' && encoding.toLowerCase() !== 'identity') {
    throw new Fault('bad-request', 'Bodies are taken without Content-Encoding only');
  }
  const length = req.headers['content-length'] ?? null;
  try {
    return await getRawBody(req, { limit: maxBodyBytes, length });
  } catch (error) {
    const { type } = error as getRawBody.RawBodyError;
    if (type === 'entity.too.large') {
      throw new Fault('too-large', `The body is longer than ${maxBodyBytes} bytes`);
    }
    throw new Fault('bad-request', 'The body broke off', { cause: error });
  }
}

import type { Context } from 'koa';
import getRawBody from 'raw-body';
import type { ZodType } from 'zod';
import { Fault } from '../../runtime/core/fault.ts';
import { parseJson } from '../../runtime/core/json.ts';
import { duplicateKey } from './duplicate-key.ts';

/** A body of exactly this many bytes is still taken. */
const maxBodyBytes = 1024 * 1024;

/** @throws Fault `too-large`; `bad-request` for bytes that are not UTF-8 or a body that broke off. */
export async function readText(ctx: Context, maxBytes = maxBodyBytes): Promise<string> {
  const length = ctx.req.headers['content-length'];
  const bytes = await getRawBody(ctx.req, { limit: maxBytes, length: length ?? null }).catch(
    (error: unknown) => {
      const { type } = error as getRawBody.RawBodyError;
      if (type === 'entity.too.large') {
        // What is left unread would be taken for the next request.
        ctx.set('Connection', 'close');
        throw new Fault('too-large', `The body is larger than ${maxBytes} bytes`);
      }
      throw new Fault('bad-request', 'The body broke off', { cause: error });
    },
  );
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (error) {
    throw new Fault('bad-request', 'The body is not UTF-8', { cause: error });
  }
}

/** @throws Fault `bad-request` unless the body is a JSON object without a key given twice. */
export async function readObject(ctx: Context): Promise<Readonly<Record<string, unknown>>> {
  return objectOf(await readText(ctx));
}

/** The body as `schema` has it. */
export async function readAs<T>(ctx: Context, schema: ZodType<T>): Promise<T> {
  return checkAs(await readText(ctx), schema);
}

/** A body's text as `schema` has it. @throws Fault `bad-request`. */
export function checkAs<T>(text: string, schema: ZodType<T>): T {
  const checked = schema.safeParse(objectOf(text));
  if (checked.success) return checked.data;
  const details = checked.error.issues.map(({ path, message }) => ({
    path: path.map(String).join('.'),
    message,
  }));
  const problems = details.map(({ path, message }) => (path ? `${path}: ${message}` : message));
  throw new Fault('bad-request', `Body: ${problems.join('; ')}`, { details });
}

function objectOf(text: string): Readonly<Record<string, unknown>> {
  const value = parseJson(text);
  const twice = duplicateKey(text);
  if (twice !== undefined) {
    throw new Fault('bad-request', `Body has the key "${twice}" twice`);
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new Fault('bad-request', 'Body must be a JSON object');
  }
  return { ...value };
}

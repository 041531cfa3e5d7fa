import { Fault } from '../../../runtime/core/fault.ts';
import { sliceOfKey } from '../../../runtime/core/json-slices.ts';
import { zato3Id } from '../../../runtime/pubsub/message-id.ts';
import { idempotencyKeyOf, refusalOf } from '../rest/idempotency.ts';
import { type Input, parseInput } from '../rest/json-body.ts';
import type { Exchange } from './exchange.ts';

const jsonType = 'application/json';
const maxTypeLength = 255;
const maxFactLength = 2_000;

/** `POST /zato/pubsub/topic/{topic}` */
export async function publish(exchange: Exchange, topic: string): Promise<void> {
  const { host, endpoint, security, cid, req } = exchange;
  host.endpointBroker.permit('publish', topic, endpoint);
  const input = parseInput(await exchange.body());
  if (!input || isEmpty(input.fields['data'])) throw new Fault('bad-request', 'There is no data');
  const { fields } = input;
  const correlId = fact(input, 'correl_id');
  const inReplyTo = fact(input, 'in_reply_to');
  const extClientId = fact(input, 'ext_client_id');
  const idempotencyKey = idempotencyKeyOf(req.headers);
  const publication = {
    topic,
    ...dataOf(input, mimeTypeOf(req.headers['content-type'])),
    cid,
    publisher: security,
    priority: fields['priority'],
    expiration: fields['expiration'],
    ...(correlId === undefined ? {} : { correlId }),
    ...(inReplyTo === undefined ? {} : { inReplyTo }),
    ...(extClientId === undefined ? {} : { extClientId }),
    ...(idempotencyKey === undefined ? {} : { idempotencyKey }),
  };
  try {
    const { msgId } = await host.endpointBroker.publish(publication, endpoint);
    exchange.answer({ msg_id: zato3Id(msgId) });
  } catch (error) {
    throw refusalOf(error);
  }
}

function isEmpty(data: unknown): boolean {
  if (data === undefined || data === null || data === '') return true;
  return typeof data === 'object' && Object.keys(data).length === 0;
}

/** A string of another type than JSON is that type's text; anything else is JSON, exactly as it was sent. */
function dataOf({ text, fields }: Input, contentType: string) {
  const { data } = fields;
  if (typeof data === 'string' && contentType !== jsonType) return { data, contentType };
  const slice = sliceOfKey(text, 'data');
  if (!slice) throw new Fault('bad-request', 'There is no data');
  return { data: text.slice(slice.start, slice.end), contentType: jsonType };
}

/** A form's type is what HTTP clients say who were not told one (Zato 3.2). */
function mimeTypeOf(header: string | undefined): string {
  const given = header?.trim() ?? '';
  const form = /^application\/x-www-form-urlencoded\b/i.test(given);
  if (given === '' || form || /^application\/json\b/i.test(given)) return jsonType;
  if (given.length <= maxTypeLength) return given;
  throw new Fault('bad-request', `Content-Type is longer than ${maxTypeLength} characters`);
}

function fact({ fields }: Input, name: string): string | undefined {
  const value = fields[name];
  if (value === undefined || value === null || value === '') return undefined;
  if (typeof value === 'object') throw new Fault('bad-request', `${name} must be a string`);
  const text = String(value);
  if (text.length <= maxFactLength) return text;
  throw new Fault('bad-request', `${name} is longer than ${maxFactLength} characters`);
}

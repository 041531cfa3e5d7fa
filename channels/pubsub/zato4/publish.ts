import type { IncomingHttpHeaders } from 'node:http';
import { Fault } from '../../../runtime/core/fault.ts';
import type { Exchange } from './exchange.ts';
import { publicationOf } from './publication.ts';
import { type TopicPath, topicNameOf } from './topic-path.ts';

const visibleAscii = /^[\x21-\x7e]{1,255}$/;

/** `POST /pubsub/topic/{topic}` */
export async function publish(exchange: Exchange, path: TopicPath): Promise<void> {
  const topic = topicNameOf(path);
  exchange.permit('publish', topic);
  const rules = exchange.rulesOf(topic);
  const idempotencyKey = keyOf(exchange.req.headers);
  const origin = { topic, rules, idempotencyKey, publisher: exchange.security, cid: exchange.cid };
  const publication = publicationOf(await exchange.body(), origin);
  try {
    const { msgId, duplicate } = await exchange.host.broker.publish(publication);
    exchange.answer({ msg_id: msgId }, duplicate ? { is_duplicate: true } : {});
  } catch (error) {
    throw refusalOf(error);
  }
}

function keyOf(headers: IncomingHttpHeaders): string | undefined {
  const key = headers['idempotency-key'];
  if (key === undefined) return undefined;
  if (typeof key === 'string' && visibleAscii.test(key)) return key;
  throw new Fault('bad-request', 'Idempotency-Key must be 1 to 255 visible ASCII characters');
}

function refusalOf(error: unknown): unknown {
  if (!Fault.is(error)) return error;
  const { code, message, details, cause, retryAfterMs } = error;
  const rest = { details, cause, ...(retryAfterMs === undefined ? {} : { retryAfterMs }) };
  // A full queue is no fault of this client: 429 would tell it to slow down.
  if (code === 'too-many') return new Fault('unavailable', message, rest);
  if (!isUnknown(details)) return error;
  const advice = 'sending it again with the same Idempotency-Key is safe';
  return new Fault(code, `${message}: ${advice}`, rest);
}

/** It may have been published or not. */
function isUnknown(details: unknown): boolean {
  return (
    typeof details === 'object' &&
    details !== null &&
    'outcome' in details &&
    details.outcome === 'unknown'
  );
}

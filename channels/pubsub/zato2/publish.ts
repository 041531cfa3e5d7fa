import { isUtf8 } from 'node:buffer';
import { Fault } from '../../../runtime/core/fault.ts';
import { parseJson } from '../../../runtime/core/json.ts';
import type { Publication } from '../../../runtime/pubsub/message.ts';
import { zato2Id } from '../../../runtime/pubsub/message-id.ts';
import type { Exchange } from './exchange.ts';
import { publishOptionsOf } from './options.ts';

/** `POST /zato/pubsub/topic/{topic}/` */
export async function publish(exchange: Exchange): Promise<void> {
  const { host, req, place, cid, security } = exchange;
  const topic = exchange.topicName();
  exchange.permit('publish', topic);
  const rules = host.topics.get(topic);
  if (!rules?.enabled) {
    exchange.sendError('Permission denied', 403);
    return;
  }
  const options = publishOptionsOf(place.query, req.headers['content-type'], rules);
  const { priority, expirationMs, mimeType, givenId } = options;
  const body = await exchange.body();
  const publication: Publication = {
    topic,
    cid,
    priority,
    expirationMs,
    publisher: security,
    correlId: cid,
    ...dataOf(body, mimeType),
    ...(givenId === undefined ? {} : { givenId }),
    ...(rules.maxSize === undefined ? {} : { maxSize: rules.maxSize }),
  };
  try {
    const { msgId } = await host.broker.publish(publication);
    exchange.sendValue({ status: 'ZATO_OK', msg_id: givenId ?? zato2Id(msgId) });
  } catch (error) {
    throw refusalOf(error, topic);
  }
}

/** Every other API takes what is called JSON for JSON: a payload that is none goes as the text it is. */
function dataOf(
  data: Buffer,
  contentType: string,
): Pick<Publication, 'data' | 'contentType' | 'verbatim'> {
  if (!/^application\/(?:[\w.+-]+\+)?json\b/i.test(contentType)) return { data, contentType };
  const text = isUtf8(data) ? data.toString() : '';
  if (!isJson(text)) return { data, contentType: 'text/plain' };
  return { data, contentType, ...(/^\s*"/.test(text) ? { verbatim: true } : {}) };
}

function isJson(text: string): boolean {
  try {
    parseJson(text);
    return true;
  } catch {
    return false;
  }
}

/** The broker names the subscription whose queue is full: nothing for a publisher. */
function refusalOf(error: unknown, topic: string): unknown {
  if (!Fault.is(error) || error.code !== 'too-many') return error;
  const { retryAfterMs } = error;
  return new Fault('too-many', `Topic \`${topic}\` is full`, {
    cause: error,
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
  });
}

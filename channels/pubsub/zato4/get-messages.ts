import { setTimeout as sleep } from 'node:timers/promises';
import type { Delivery } from '../../../runtime/pubsub/message.ts';
import { type Answer, jsonAnswer } from '../rest/answer.ts';
import { acknowledge, giveBack } from '../rest/taken.ts';
import type { Exchange } from './exchange.ts';
import { type GetQuery, getQueryOf } from './get-query.ts';
import { type GotMessage, gotMessage, metaOf } from './got-message.ts';
import type { PullSubscription } from './ports.ts';

/** `POST /pubsub/messages/get`: what is answered leaves the queue when all of the answer is written. */
export async function getMessages(exchange: Exchange): Promise<void> {
  const subscription = exchange.subscription();
  const query = getQueryOf(await exchange.body(), subscription.leaseMs);
  const taken = (await takeOrWait(exchange, subscription, query)).map(gotMessage);
  const fitting = upTo(taken, query.maxLength);
  const left = taken.slice(fitting.length);
  const { subKey } = subscription;
  await giveBack(exchange, subKey, left.map(deliveryOf));
  const answer = answerOf(exchange.cid, fitting, query.manual);
  const whole = await exchange.sendWhole(answer);
  const answered = fitting.map(deliveryOf);
  if (!whole) await giveBack(exchange, subKey, answered);
  else if (!query.manual) await acknowledge(exchange, subKey, answered);
}

function deliveryOf({ delivery }: GotMessage): Delivery {
  return delivery;
}

async function takeOrWait(
  exchange: Exchange,
  subscription: PullSubscription,
  query: GetQuery,
): Promise<readonly Delivery[]> {
  if (query.waitMs === 0) {
    return subscription.paused ? [] : await take(exchange, subscription, query, undefined);
  }
  const leaving = exchange.leaving();
  try {
    if (!subscription.paused) return await take(exchange, subscription, query, leaving.signal);
    await sleep(query.waitMs, undefined, { signal: leaving.signal }).catch(() => undefined);
    return [];
  } finally {
    leaving.forget();
  }
}

function take(
  { host }: Exchange,
  { subKey, maxDeliveries, maxInflight }: PullSubscription,
  { maxMessages, maxLength, leaseMs, waitMs, manual }: GetQuery,
  signal: AbortSignal | undefined,
): Promise<readonly Delivery[]> {
  return host.broker.take(subKey, {
    max: maxMessages,
    // A string's quotes are no part of its length.
    maxBytes: maxLength + 2 * maxMessages,
    leaseMs,
    maxDeliveries,
    // The answer before may still be being acknowledged by another process.
    maxInflight: manual ? maxInflight : maxInflight + maxMessages,
    waitMs,
    ...(signal ? { signal } : {}),
  });
}

/** The first ones, up to the length asked for. */
function upTo(taken: readonly GotMessage[], maxLength: number): readonly GotMessage[] {
  let length = 0;
  const over = taken.findIndex(({ size }) => {
    length += size;
    return length > maxLength;
  });
  return over < 0 ? taken : taken.slice(0, over);
}

function answerOf(cid: string, messages: readonly GotMessage[], manual: boolean): Answer {
  const now = Date.now();
  const parts: (string | Buffer)[] = [`{"is_ok":true,"cid":"${cid}","messages":[`];
  for (const [at, message] of messages.entries()) {
    parts.push(at === 0 ? '{"data":' : ',{"data":', message.data);
    parts.push(`,"meta":${JSON.stringify(metaOf(message, { manual, now }))}}`);
  }
  parts.push(`],"message_count":${messages.length},"status":"200 OK"}`);
  return jsonAnswer(
    Buffer.concat(parts.map((part) => (typeof part === 'string' ? Buffer.from(part) : part))),
  );
}

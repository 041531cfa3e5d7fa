import type { Delivery, Message, QueuedMessage } from '../pubsub/message.ts';
import type { MessageView, QueuedView, Standing } from './message-api.ts';

/** A message's view, with the text of its `data` beside it: parsing would change big integers. */
export interface RawMessage {
  readonly view: Omit<MessageView, 'data'>;
  readonly json?: string;
}

const previewLength = 200;
/** UTF-8 takes at most four bytes for a character. */
const previewBytes = previewLength * 4;

export function rawMessage(
  { message }: Pick<QueuedMessage, 'message'>,
  more: Pick<MessageView, 'standings' | 'deliveries' | 'failures'> = {},
): RawMessage {
  const { receivedAt, expiresAt, data, seq: _seq, expirationMs: _ms, ...meta } = message;
  const view = {
    ...meta,
    receivedAt: iso(receivedAt),
    expiresAt: iso(expiresAt),
    size: data.length,
    ...more,
  };
  const text = textOf(data);
  if (text === undefined) return { view: { ...view, base64: data.toString('base64') } };
  if (isJson(message, text)) return { view, json: text };
  return { view: { ...view, text } };
}

export function takenMessage(delivery: Delivery): RawMessage {
  const { deliveries, failures } = delivery;
  return rawMessage(delivery, { deliveries, failures });
}

/** The view as JSON text, its data as it was published. */
export function messageJson({ view, json }: RawMessage): string {
  const text = JSON.stringify(view);
  return json === undefined ? text : `${text.slice(0, -1)},"data":${json}}`;
}

export function standingOf(queued: QueuedMessage, subscription: string): Standing {
  return { subscription, subKey: queued.subKey, ...stateOf(queued) };
}

export function queuedView(queued: QueuedMessage): QueuedView {
  const { msgId, topic, priority, publisher, cid, receivedAt, expiresAt, data } = queued.message;
  return {
    msgId,
    ...stateOf(queued),
    topic,
    priority,
    ...(publisher === undefined ? {} : { publisher }),
    cid,
    receivedAt: iso(receivedAt),
    expiresAt: iso(expiresAt),
    size: data.length,
    preview: previewOf(data),
  };
}

/** Times may come from far away: what is no time is left as a number. */
export function iso(ms: number): string {
  const date = new Date(ms);
  return Number.isNaN(date.getTime()) ? String(ms) : date.toISOString();
}

function stateOf(queued: QueuedMessage): Omit<Standing, 'subscription' | 'subKey'> {
  const { state, deliveries, failures, lastError, reason, version, at } = queued;
  return {
    state,
    deliveries,
    failures,
    ...(lastError === undefined ? {} : { lastError }),
    ...(reason === undefined ? {} : { reason }),
    ...(version === undefined ? {} : { version }),
    ...(at === undefined ? {} : { at: iso(at) }),
  };
}

/** Undefined for bytes that are no UTF-8. */
function textOf(data: Buffer): string | undefined {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(data);
  } catch {
    return undefined;
  }
}

function isJson({ contentType }: Message, text: string): boolean {
  if (!/^application\/(?:[\w.+-]+\+)?json\b/i.test(contentType)) return false;
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

function previewOf(data: Buffer): string {
  try {
    // Told that more comes, it leaves out a character that was cut.
    const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
    const text = decoder.decode(data.subarray(0, previewBytes), { stream: true });
    return [...text].slice(0, previewLength).join('').slice(0, previewLength);
  } catch {
    return `<${data.length} bytes>`;
  }
}

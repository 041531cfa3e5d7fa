import type { Lease } from '../../../runtime/pubsub/message.ts';

/** What a client gives back to settle a message it took with `ack: "manual"`: opaque, it holds the lease. */
export function ackIdOf({ message, token }: Lease): string {
  return Buffer.from(JSON.stringify([message.msgId, token])).toString('base64url');
}

/** The lease in an ack id; undefined for what is none. Whether it is still held, the broker knows. */
export function leaseOf(ackId: string): Lease | undefined {
  const parts = parse(Buffer.from(ackId, 'base64url').toString('utf8'));
  if (!Array.isArray(parts) || parts.length !== 2) return undefined;
  const [msgId, token] = parts as unknown[];
  if (typeof msgId !== 'string' || typeof token !== 'string') return undefined;
  return { message: { msgId }, token };
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

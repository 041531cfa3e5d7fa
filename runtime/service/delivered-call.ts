import type { Call, ReceivedMessage } from './call.ts';
import { decodeData, type EncodedData, type ReviveModel } from './message-data.ts';

/** A message as the broker hands it out under a lease. */
export interface DeliveredMessage {
  readonly subKey: string;
  /** How often it was handed out, this time included: from 1. */
  readonly deliveries: number;
  readonly message: EncodedData & {
    readonly data: Buffer;
    readonly msgId: string;
    readonly topic: string;
    readonly priority: number;
    readonly cid: string;
    readonly publisher?: string;
    readonly correlId?: string;
    readonly inReplyTo?: string;
    readonly extClientId?: string;
    readonly pubTime?: string;
    readonly hops: number;
    readonly receivedAt: number;
    readonly expiresAt: number;
  };
}

export interface DeliveryOptions {
  readonly revive: ReviveModel;
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

/**
 * The call that gives a message to a service. Run it in the same turn: a Model is an instance of the
 * class that the service's current version knows.
 * @throws Fault `not-found` for a Model class that no deployed file exports, `bad-request` for data
 * that does not fit its class or is not the JSON it says it is.
 */
export function deliveredCall(
  service: string,
  delivery: DeliveredMessage,
  { revive, ...limits }: DeliveryOptions,
): Call {
  const { message } = delivery;
  const value = decodeData(message, `Message ${message.msgId}`, (dataClass, json) =>
    revive(dataClass, json, service),
  );
  return {
    cid: message.cid,
    service,
    input: value,
    rawRequest: value,
    message: receivedMessage(delivery),
    hops: message.hops,
    ...limits,
  };
}

function receivedMessage({ message, subKey, deliveries }: DeliveredMessage): ReceivedMessage {
  const { msgId, topic, priority, cid, receivedAt, expiresAt, contentType, data } = message;
  const { publisher, correlId, inReplyTo, extClientId, pubTime } = message;
  return {
    msgId,
    topic,
    priority,
    cid,
    ...(publisher === undefined ? {} : { publisher }),
    ...(correlId === undefined ? {} : { correlId }),
    ...(inReplyTo === undefined ? {} : { inReplyTo }),
    ...(extClientId === undefined ? {} : { extClientId }),
    ...(pubTime === undefined ? {} : { pubTime }),
    receivedAt,
    expiresAt,
    deliveryCount: deliveries,
    redelivered: deliveries > 1,
    subKey,
    contentType,
    data,
  };
}

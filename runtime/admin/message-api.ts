import type { MessageState } from '../pubsub/message.ts';
import type { Page } from './api.ts';

/*
 * Messages and queues in the admin API; the routes are listed in api.ts. A subscription is named by its
 * definition's name or by its subKey. Times are ISO 8601.
 */

/** Exactly one of data, text and base64. */
export interface PublishRequest {
  readonly topic: string;
  /** Any JSON value; kept exactly as it is written, big integers too. */
  readonly data?: unknown;
  /** Text that is not JSON; the content type is text/plain unless given. */
  readonly text?: string;
  /** Any bytes; the content type is application/octet-stream unless given. */
  readonly base64?: string;
  /** 0-9, 9 is delivered first. */
  readonly priority?: number;
  /** `1h`, or ms. */
  readonly expiration?: string | number;
  readonly cid?: string;
  readonly inReplyTo?: string;
  readonly extClientId?: string;
  readonly correlId?: string;
  readonly pubTime?: string;
  readonly contentType?: string;
  readonly idempotencyKey?: string;
}

export interface PublishReply {
  readonly msgId: string;
  /** Queues it was put in; 0: nothing subscribes to the topic, and it is not kept. */
  readonly queues: number;
  readonly cid: string;
  /** The idempotency key was known: this is the first message. */
  readonly duplicate: boolean;
}

export interface QueueView {
  /** The definition's name; the subKey of one that a program made. */
  readonly subscription: string;
  readonly subKey: string;
  readonly topics: readonly string[];
  readonly delivery: 'pull' | 'push';
  readonly enabled: boolean;
  readonly paused: boolean;
  readonly waiting: number;
  readonly leased: number;
  readonly delayed: number;
  readonly dead: number;
  /** When the oldest waiting message came. */
  readonly oldestAt?: string;
}

/** How a message stands in one queue. */
export interface Standing {
  readonly subscription: string;
  readonly subKey: string;
  readonly state: MessageState;
  readonly deliveries: number;
  readonly failures: number;
  /** Of the last failed attempt. */
  readonly lastError?: string;
  /** Why it is dead. */
  readonly reason?: string;
  /** Of the service that failed it last. */
  readonly version?: string;
  /** When the lease or the delay ends, or when it died. */
  readonly at?: string;
}

/** One message of a queue in a list. */
export interface QueuedView extends Omit<Standing, 'subscription' | 'subKey'> {
  readonly msgId: string;
  readonly topic: string;
  readonly priority: number;
  readonly publisher?: string;
  readonly cid: string;
  readonly receivedAt: string;
  readonly expiresAt: string;
  /** Of the data, in bytes. */
  readonly size: number;
  /** The data's first 200 characters. */
  readonly preview: string;
}

/** A message with its data: `data` when that is JSON, as it was published; else `text` or `base64`. */
export interface MessageView {
  readonly msgId: string;
  readonly topic: string;
  readonly priority: number;
  readonly publisher?: string;
  readonly cid: string;
  readonly correlId?: string;
  readonly inReplyTo?: string;
  readonly extClientId?: string;
  readonly pubTime?: string;
  readonly receivedAt: string;
  readonly expiresAt: string;
  readonly contentType: string;
  /** The Model class the data is an instance of. */
  readonly dataClass?: string;
  readonly hops: number;
  readonly size: number;
  /** From the route of one message: each queue that holds it. */
  readonly standings?: readonly Standing[];
  /** From take: how often it was handed out, this time included. */
  readonly deliveries?: number;
  readonly failures?: number;
  readonly data?: unknown;
  readonly text?: string;
  readonly base64?: string;
}

export interface TakeRequest {
  /** Default 50, at most 1,000. */
  readonly max?: number;
  readonly maxBytes?: number;
  /** How long to wait for the first one: `20s`, or ms; default 0. */
  readonly wait?: string | number;
  /** Default true: they leave the queue once the reply was written whole. False: back at once. */
  readonly ack?: boolean;
}

export type TakeReply = Page<MessageView>;

export type PurgeState = Exclude<MessageState, 'leased'>;

export interface PurgeRequest {
  readonly state: PurgeState;
  /** Only what came longer ago: `1d`, or ms. */
  readonly olderThan?: string | number;
}

/** It ends when all are back; whoever leaves before ends it. */
export interface RedriveRequest {
  /** Default: those that are dead now. */
  readonly msgIds?: readonly string[];
  /** The oldest so many. */
  readonly max?: number;
  /** One first; the others only once that one was delivered. */
  readonly trial?: boolean;
  /** In a second; default 100. */
  readonly rate?: number;
}

export interface RedriveReply {
  /** Put back, the trial included. */
  readonly redriven: number;
  /** `failed`, `late`: the first one was not delivered, or not in time, and the others stayed dead. */
  readonly trial: 'passed' | 'failed' | 'late' | 'none';
  /** Why the trial failed. */
  readonly error?: string;
  /** Dead letters that are there now. */
  readonly dead: number;
}

/** One thing that happened on a journey. */
export interface JourneyStep {
  readonly at: string;
  readonly cid: string;
  /** channel, invoke, publish, queue, attempt, delivered, acked, dead, outgoing, expired or log. */
  readonly kind: string;
  readonly ms?: number;
  readonly ok?: boolean;
  /** The process that noted it. */
  readonly place?: string;
  /** Names and numbers: service, version, topic, msgId, subscription, attempt, connection, status, error... */
  readonly facts: Readonly<Record<string, string | number | boolean>>;
}

export interface JourneyView {
  readonly cid: string;
  /** Oldest first. */
  readonly steps: readonly JourneyStep[];
  /** Where its messages are now. */
  readonly standings: readonly (Standing & { readonly msgId: string; readonly topic: string })[];
  /** More happened than is shown. */
  readonly cut: boolean;
  /** Steps of any journey that could not be kept while this one went on. */
  readonly dropped: number;
}

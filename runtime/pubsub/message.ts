/** What travels with a message's data. Times are ms since 1970 by Redis' clock. */
interface MessageMeta {
  readonly topic: string;
  /** 0-9; 9 is delivered first. */
  readonly priority: number;
  /** How long it may wait in a queue, in ms, from its arrival. */
  readonly expirationMs: number;
  readonly cid: string;
  /** What kind of bytes the data is; `application/json` for JSON text. */
  readonly contentType: string;
  /** Name of the service or of the security definition that published it. */
  readonly publisher?: string;
  readonly correlId?: string;
  readonly inReplyTo?: string;
  readonly extClientId?: string;
  /** The publisher's own id of it, as Zato 2.0 takes one; nothing says that no other message has it. */
  readonly givenId?: string;
  /** Who wants text gets the data as it is, and not what a JSON string of it says (Zato 2.0's payload). */
  readonly verbatim?: boolean;
  /** The publisher's own time, as ISO 8601; never used for order or expiry. */
  readonly pubTime?: string;
  /** The Model class the data is an instance of. */
  readonly dataClass?: string;
  /** How many messages led to this one: what a loop of services would count up. */
  readonly hops: number;
}

export interface Message extends MessageMeta {
  /** `zpsm.YYYYMMDD-HHMMSS-ssss-<16 hex>f`, UTC (Zato 4.x). */
  readonly msgId: string;
  /** Order of publication over all topics. */
  readonly seq: number;
  readonly receivedAt: number;
  readonly expiresAt: number;
  /** The bytes as they were published: JSON text for JSON. */
  readonly data: Buffer;
}

/** A message to be published; what is left out gets the broker's default. */
export interface Publication {
  readonly topic: string;
  /** A string is sent as UTF-8. */
  readonly data: Buffer | string;
  readonly cid: string;
  /** Default `application/json`. */
  readonly contentType?: string;
  /** Default 5. */
  readonly priority?: number;
  /** Default 365 days. */
  readonly expirationMs?: number;
  readonly publisher?: string;
  readonly correlId?: string;
  readonly inReplyTo?: string;
  readonly extClientId?: string;
  /** 1-200 visible ASCII characters, but `"` and the backslash. */
  readonly givenId?: string;
  /** Default false. */
  readonly verbatim?: boolean;
  readonly pubTime?: string;
  readonly dataClass?: string;
  readonly hops?: number;
  /** The same key with the same publisher, topic and data within 24 h gives the first message again. */
  readonly idempotencyKey?: string;
  /** In bytes; the topic's own limit where it is lower than the broker's. */
  readonly maxSize?: number;
  /** False keeps it out of the topic's counters: its topic is not a defined one. */
  readonly counted?: boolean;
}

export interface Published {
  readonly msgId: string;
  /** Queues it was put in; 0 when nothing subscribes, and then it is not kept. */
  readonly queues: number;
  /** The idempotency key was known: this is the first message's id. */
  readonly duplicate: boolean;
  readonly receivedAt: number;
}

/** A leased message. Whoever holds the token may ack, reject or extend it. */
export interface Delivery {
  readonly subKey: string;
  readonly message: Message;
  /** Of this lease alone: a later lease of the same message has another. */
  readonly token: string;
  /** How often it was handed out, this time included: from 1. */
  readonly deliveries: number;
  /** How many of those failed or ran out of time. */
  readonly failures: number;
  readonly leasedUntil: number;
}

/** Which lease: `Delivery` is one. */
export interface Lease {
  readonly message: { readonly msgId: string };
  readonly token: string;
}

export type MessageState = 'waiting' | 'leased' | 'delayed' | 'dead';

/** A message as it stands in one queue. */
export interface QueuedMessage {
  readonly subKey: string;
  readonly state: MessageState;
  readonly message: Message;
  readonly deliveries: number;
  readonly failures: number;
  /** Of the last failed attempt. */
  readonly lastError?: string;
  /** When the lease or the delay ends, or when it died. */
  readonly at?: number;
  /** Why it is dead: `max-deliveries`, `crashed-worker`, `rejected`, `not-permitted`, ... */
  readonly reason?: string;
  /** Version of the service that failed it last. */
  readonly version?: string;
}

export interface Depth {
  readonly waiting: number;
  readonly leased: number;
  readonly delayed: number;
  readonly dead: number;
  /** When the oldest waiting message came. */
  readonly oldestAt?: number;
}

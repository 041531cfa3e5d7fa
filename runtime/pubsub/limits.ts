/** What one broker accepts. */
export interface Limits {
  /** Of one message's data, in bytes. Zato's limit of a whole request is 8 MB (4.x). */
  readonly maxSize: number;
  /** Messages that may lead to one another. */
  readonly maxHops: number;
  /** Of Redis' maxmemory: above it publishing is refused, so that consumers can go on. */
  readonly watermark: number;
  /** Dead letters of one subscription. */
  readonly maxDead: number;
  /** Queues written by one script; more are filled chunk by chunk. */
  readonly chunk: number;
  /** How long an idempotency key is remembered, in s. */
  readonly idempotencyWindow: number;
}

export const defaultLimits: Limits = {
  maxSize: 8 * 1024 * 1024,
  maxHops: 16,
  watermark: 0.75,
  maxDead: 100_000,
  chunk: 100,
  idempotencyWindow: 24 * 3_600,
};

/** Zato 4.x: 86400 * 365 s. */
export const defaultExpirationMs = 365 * 86_400_000;
export const defaultPriority = 5;
/** Zato 4.x: messages/get gives at most so many. */
export const maxTake = 1_000;

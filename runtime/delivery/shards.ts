export const defaultShards = 4;

export interface DrainJob {
  readonly subKey: string;
}

/** The BullMQ queues that drains are spread over. */
export function shardNames(shards: number): readonly string[] {
  return Array.from({ length: shards }, (_, shard) => `deliver-${shard}`);
}

/** FNV-1a: the same in every process, whatever its version. */
export function shardOf(subKey: string, shards: number): number {
  let hash = 0x811c9dc5;
  for (let at = 0; at < subKey.length; at++) {
    hash = Math.imul(hash ^ subKey.charCodeAt(at), 0x01000193) >>> 0;
  }
  return hash % shards;
}

/** A job per subscription, so BullMQ takes no second one while the first is there; no ':' and not a number. */
export function drainJobId(subKey: string): string {
  return `drain-${encodeURIComponent(subKey)}`;
}

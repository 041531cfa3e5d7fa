import type { Redis } from 'ioredis';

const prefix = '{hence}:';

/** What Redis holds of topics and queues that nothing owns any more, in words; empty when all is well. */
export async function orphansIn(
  redis: Redis,
  owners: { readonly subKeys: readonly string[]; readonly topics: readonly string[] },
): Promise<readonly string[]> {
  const programs = await redis.hkeys(`${prefix}ps:subs`);
  const known = new Set([...owners.subKeys, ...programs]);
  const strangers = (where: string, found: readonly string[], among: ReadonlySet<string>) =>
    found.filter((one) => !among.has(one)).map((one) => `${where}: ${one}`);
  const queues = await keysOf(redis, `${prefix}q:*`);
  const topics = new Set(owners.topics);
  return [
    ...strangers(
      'queue',
      queues.map((key) => key.slice(`${prefix}q:`.length).replace(/:[a-z]$/, '')),
      known,
    ),
    ...strangers('due', await redis.zrange(`${prefix}ps:due`, '0', '-1'), known),
    ...strangers('awake', await redis.zrange(`${prefix}ps:awake`, '0', '-1'), known),
    ...strangers('waiters', await redis.hkeys(`${prefix}ps:waiters`), known),
    ...strangers('topics', await redis.hkeys(`${prefix}ps:topics`), topics),
    ...strangers('topics:last', await redis.hkeys(`${prefix}ps:topics:last`), topics),
    ...strangers('fan', await keysOf(redis, `${prefix}ps:fan*`), new Set()),
    ...(await bodies(redis, queues)),
  ];
}

/** Each body is held by as many queues as it says, each message of a queue has its body and its state. */
async function bodies(redis: Redis, queues: readonly string[]): Promise<readonly string[]> {
  const held = new Map<string, number>();
  for (const key of queues.filter((one) => /:[wldx]$/.test(one))) {
    for (const seq of await redis.zrange(key, '0', '-1')) held.set(seq, (held.get(seq) ?? 0) + 1);
  }
  const messages = new Set(await redis.hkeys(`${prefix}ps:msgs`));
  const refs = await redis.hgetall(`${prefix}ps:refs`);
  return [
    ...[...messages]
      .filter((seq) => !held.has(seq))
      .map((seq) => `body that no queue holds: ${seq}`),
    ...Object.keys(refs)
      .filter((seq) => !held.has(seq))
      .map((seq) => `count of nothing: ${seq}`),
    ...[...held]
      .filter(([seq, count]) => !messages.has(seq) || Number(refs[seq] ?? 1) !== count)
      .map(
        ([seq, count]) => `message ${seq} is in ${count} queues and has ${refs[seq] ?? 'no'} count`,
      ),
  ];
}

async function keysOf(redis: Redis, pattern: string): Promise<readonly string[]> {
  const found: string[] = [];
  for await (const keys of redis.scanStream({ match: pattern, count: 1_000 })) {
    found.push(...(keys as string[]));
  }
  return found;
}

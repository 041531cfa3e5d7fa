/*
 * Keys, all under one hash tag so that a cluster has them in one slot. P is `{namespace}:`.
 *
 *   P revision          of the definitions (runtime/config writes it)
 *   P ps:subs           program-made subscriptions: subKey -> JSON;  P ps:subs:rev  their revision
 *   P ps:seq            publish sequence;  P ps:leases  lease tokens
 *   P ps:msgs           seq -> record (record.ts), once for all queues
 *   P ps:refs           seq -> how many queues hold it; absent for one
 *   P ps:due            subKey by the time (ms) something of it is due: lease, delay, expiry, rest
 *   P ps:awake          push subscriptions whose delivery runs or is asked for, by its last sign of life (ms);
 *                       resting until a time (ms) although messages wait: minus that time
 *   P ps:waiters        pull subscriptions somebody waits for
 *   P ps:held           queues with one reader at a time: subKey -> token, owner|random; `-|token` while its end is under way
 *   P ps:held:owners    processes that hold some, by when they are taken for dead (ms)
 *   P ps:full           present while memory is above the watermark
 *   P ps:fans           unfinished fan-outs: token -> seq|score|expiry;  P ps:fan:<token>  the queues left
 *   P ps:idem:<hash>    idempotency: data hash|seq|received|salt|queues
 *   P ps:topics         topic -> publications;  P ps:topics:last  topic -> time of the last
 *
 *   P q:<subKey>:w      waiting: seq by (9 - priority) * 2^49 + seq
 *              :l :d    leased, delayed: seq by the time (ms) it ends
 *              :x       dead: seq by the time it died
 *              :e       seq by its expiry, where that is near enough to be swept
 *              :i       seq -> token|deliveries|failures|max deliveries|keep|JSON of the last failure
 *              :g       of the leased that have one: seq -> the id their publishers gave them
 */

/** Leases, delays and expiries may end while Redis is full: what frees memory must run. */
export const allowOom = '#!lua flags=allow-oom\n';

/** Looking must work while Redis is full, and while its disk is and it takes no writes. */
export const noWrites = '#!lua flags=no-writes\n';

/** Reads the arguments every script begins with. */
export const prologue = `
local P = ARGV[1]
local ps = P .. 'ps:'
local time = redis.call('TIME')
local us = time[1] * 1000000 + time[2]
local now = math.floor(us / 1000)
local function queue(sub) return P .. 'q:' .. sub .. ':' end
`;

/** `stale(definitions revision, subscriptions revision)`: routes made of older ones must not be used. */
export const staleness = `
local function stale(definitions, subscriptions)
  local got = redis.call('MGET', P .. 'revision', ps .. 'subs:rev')
  return (got[1] or '0') ~= definitions or (got[2] or '0') ~= subscriptions
end
`;

/** `release(seq)`: one queue less holds the message. */
export const releasing = `
local function release(seq)
  local refs = redis.call('HGET', ps .. 'refs', seq)
  if refs then
    refs = tonumber(refs) - 1
    if refs > 1 then redis.call('HSET', ps .. 'refs', seq, refs) return end
    redis.call('HDEL', ps .. 'refs', seq)
    if refs == 1 then return end
  end
  redis.call('HDEL', ps .. 'msgs', seq)
end
`;

/** The state of one message in one queue, and its place there. */
export const standing = `
local function info(q, seq)
  local text = redis.call('HGET', q .. 'i', seq)
  if not text then return { token = '0', deliveries = 0, failures = 0, max = 0, keep = 0, rest = '' } end
  local token, deliveries, failures, max, keep, rest =
    string.match(text, '^(%d+)|(%d+)|(%d+)|(%d+)|(%d)|(.*)$')
  return { token = token, deliveries = tonumber(deliveries), failures = tonumber(failures),
    max = tonumber(max), keep = tonumber(keep), rest = rest }
end
local function setInfo(q, seq, i)
  redis.call('HSET', q .. 'i', seq, table.concat(
    { i.token, i.deliveries, i.failures, i.max, i.keep, i.rest }, '|'))
end
local function place(record, seq)
  return string.format('%.0f', (9 - string.byte(record, 19)) * 562949953421312 + seq)
end
local function recordOf(seq) return redis.call('HGET', ps .. 'msgs', seq) end
local function expiresAt(record) return (struct.unpack('>d', record, 9)) end
local function forget(q, seq)
  redis.call('HDEL', q .. 'i', seq)
  redis.call('ZREM', q .. 'e', seq)
  release(seq)
end
local function back(q, seq, keep)
  local record = recordOf(seq)
  if not record or keep == 0 and expiresAt(record) <= now then forget(q, seq)
  else redis.call('ZADD', q .. 'w', place(record, seq), seq) end
end
-- Dead letters that are full keep the message in its queue: asked again in a minute.
local function bury(q, seq, maxDead)
  if redis.call('ZCARD', q .. 'x') >= maxDead then
    redis.call('ZADD', q .. 'd', now + 60000, seq)
    return false
  end
  redis.call('ZADD', q .. 'x', now, seq)
  redis.call('ZREM', q .. 'e', seq)
  return true
end
`;

/**
 * `settleDue(q, maxDead)`: ends what is due in one queue: leases, delays, expiries, each a bounded number.
 * Returns how many expired, and how much it settled in all. `nextDue(q)`: when to look again, or false.
 */
export const dueing = `
local function lapse(q, seq, maxDead)
  redis.call('ZREM', q .. 'l', seq)
  redis.call('HDEL', q .. 'g', seq)
  local i = info(q, seq)
  i.token = '0'
  i.failures = i.failures + 1
  local crashed = i.max > 0 and i.failures >= i.max
  i.rest = crashed and '{"e":"its lease ran out","r":"crashed-worker"}' or '{"e":"its lease ran out"}'
  setInfo(q, seq, i)
  if crashed then bury(q, seq, maxDead) else back(q, seq, i.keep) end
end
local function settleDue(q, maxDead)
  local lapsed = redis.call('ZRANGEBYSCORE', q .. 'l', '-inf', now, 'LIMIT', 0, 200)
  for _, seq in ipairs(lapsed) do lapse(q, seq, maxDead) end
  local delayed = redis.call('ZRANGEBYSCORE', q .. 'd', '-inf', now, 'LIMIT', 0, 500)
  for _, seq in ipairs(delayed) do
    redis.call('ZREM', q .. 'd', seq)
    local i = info(q, seq)
    -- It is to die, and waits for a place among the dead.
    if string.find(i.rest, '"r":', 1, true) then bury(q, seq, maxDead) else back(q, seq, i.keep) end
  end
  local expired = redis.call('ZRANGEBYSCORE', q .. 'e', '-inf', now, 'LIMIT', 0, 500)
  local gone = 0
  for _, seq in ipairs(expired) do
    redis.call('ZREM', q .. 'e', seq)
    if info(q, seq).keep == 0
      and redis.call('ZREM', q .. 'w', seq) + redis.call('ZREM', q .. 'd', seq) > 0 then
      forget(q, seq)
      gone = gone + 1
    end
  end
  return gone, #lapsed + #delayed + #expired
end
local function nextDue(q)
  local next = false
  for _, kind in ipairs({ 'l', 'd', 'e' }) do
    local first = redis.call('ZRANGE', q .. kind, 0, 0, 'WITHSCORES')
    if first[2] and (not next or tonumber(first[2]) < next) then next = tonumber(first[2]) end
  end
  return next
end
local function dueBy(sub, at)
  redis.call('ZADD', ps .. 'due', 'LT', string.format('%.0f', at), sub)
end
`;

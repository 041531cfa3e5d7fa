import { script } from '../../redis/script.ts';
import { allowOom, dueing, prologue, releasing, staleness, standing } from './common.ts';

const whole = `${allowOom}
${prologue}
${releasing}
${standing}
${dueing}
`;

/**
 * What is due in the queues whose time has come. Arguments: P, max dead, at most so many queues.
 * Returns 1 when more is due already, how many messages expired, then the subKeys with messages waiting.
 */
export const tendScript = script(`${whole}
local subs = redis.call('ZRANGEBYSCORE', ps .. 'due', '-inf', now, 'LIMIT', 0, ARGV[3])
local reply = { #subs < tonumber(ARGV[3]) and 0 or 1, 0 }
local work = 0
for _, sub in ipairs(subs) do
  local q = queue(sub)
  local gone, settled = settleDue(q, tonumber(ARGV[2]))
  reply[2] = reply[2] + gone
  work = work + settled
  local next = nextDue(q)
  if next then redis.call('ZADD', ps .. 'due', string.format('%.0f', next), sub)
  else redis.call('ZREM', ps .. 'due', sub) end
  if redis.call('ZCARD', q .. 'w') > 0 then
    reply[#reply + 1] = sub
    if redis.call('HDEL', ps .. 'waiters', sub) == 1 then redis.call('PUBLISH', ps .. 'wake', sub) end
  end
  if next and next <= now then reply[1] = 1 end
  -- Others wait for Redis.
  if work >= 1000 then
    reply[1] = 1
    break
  end
end
return reply
`);

/** Marks these push subscriptions (from 2) as woken now. Returns those that were asleep or resting (a negative score). */
export const wakeScript = script(`${allowOom}
${prologue}
local reply = {}
for n = 2, #ARGV do
  local at = redis.call('ZSCORE', ps .. 'awake', ARGV[n])
  if not at or tonumber(at) < 0 then
    redis.call('ZADD', ps .. 'awake', now, ARGV[n])
    reply[#reply + 1] = ARGV[n]
  end
end
return reply
`);

/**
 * Ends the delivery of a subscription. Arguments: P, subKey, max dead, and the time (ms) to rest until although
 * messages wait, or "". Returns 1 asleep or 0, and when the next thing of it is due, or -1.
 */
export const restScript = script(`${whole}
local sub = ARGV[2]
local q = queue(sub)
settleDue(q, tonumber(ARGV[3]))
if ARGV[4] ~= '' then
  redis.call('ZADD', ps .. 'awake', '-' .. ARGV[4], sub)
  dueBy(sub, tonumber(ARGV[4]))
elseif redis.call('ZCARD', q .. 'w') > 0 then
  redis.call('ZADD', ps .. 'awake', now, sub)
  return { 0, -1 }
else
  redis.call('ZREM', ps .. 'awake', sub)
end
return { 1, string.format('%.0f', nextDue(q) or -1) }
`);

/** "I live": P, subKey. */
export const awakeScript = script(`${allowOom}
${prologue}
return redis.call('ZADD', ps .. 'awake', now, ARGV[2])
`);

/** Woken, or to be woken, and not heard of for so long: P, ms. */
export const quietScript = script(`${allowOom}
${prologue}
local since = string.format('%.0f', now - tonumber(ARGV[2]))
local quiet = redis.call('ZRANGEBYSCORE', ps .. 'awake', 0, since, 'LIMIT', 0, 1000)
for _, sub in ipairs(redis.call('ZRANGEBYSCORE', ps .. 'awake', '(-' .. since, '(0', 'LIMIT', 0, 1000)) do
  quiet[#quiet + 1] = sub
end
return quiet
`);

/**
 * Deletes a chunk of a queue nobody subscribes to any more. Arguments: P, both revisions, subKey, at most so many.
 * Returns "stale", or "ok" and how many messages are left.
 */
export const dropScript = script(`${whole}
${staleness}
if stale(ARGV[2], ARGV[3]) then return { 'stale', 0 } end
local sub = ARGV[4]
local q = queue(sub)
local room = tonumber(ARGV[5])
local left = 0
for _, kind in ipairs({ 'w', 'l', 'd', 'x' }) do
  local seqs = room > 0 and redis.call('ZRANGE', q .. kind, 0, room - 1) or {}
  for _, seq in ipairs(seqs) do release(seq) end
  if #seqs > 0 then
    redis.call('ZREM', q .. kind, unpack(seqs))
    redis.call('HDEL', q .. 'i', unpack(seqs))
  end
  room = room - #seqs
  left = left + redis.call('ZCARD', q .. kind)
end
if left == 0 then
  redis.call('DEL', q .. 'i', q .. 'e', q .. 'g')
  redis.call('ZREM', ps .. 'due', sub)
  redis.call('ZREM', ps .. 'awake', sub)
  redis.call('HDEL', ps .. 'waiters', sub)
end
return { 'ok', left }
`);

/** Program-made subscriptions. P, subKey, JSON or "" to delete. Returns 1 when something changed. */
export const subscribeScript = script(`
${prologue}
local changed
if ARGV[3] == '' then changed = redis.call('HDEL', ps .. 'subs', ARGV[2])
else
  changed = redis.call('HGET', ps .. 'subs', ARGV[2]) == ARGV[3] and 0 or 1
  if changed == 1 then redis.call('HSET', ps .. 'subs', ARGV[2], ARGV[3]) end
end
if changed == 1 then
  -- By the clock: after a loss of the last moments, another change must not get the number of the lost one.
  local revision = math.max(us, tonumber(redis.call('GET', ps .. 'subs:rev') or '0') + 1)
  redis.call('SET', ps .. 'subs:rev', string.format('%.0f', revision))
  redis.call('PUBLISH', ps .. 'subscriptions', string.format('%.0f', revision))
end
return changed
`);

/** All of them, unless this revision is known: P, revision. Returns the revision, then subKey and JSON of each. */
export const subscriptionsScript = script(`
${prologue}
local revision = redis.call('GET', ps .. 'subs:rev') or '0'
if revision == ARGV[2] then return { revision } end
local reply = redis.call('HGETALL', ps .. 'subs')
table.insert(reply, 1, revision)
return reply
`);

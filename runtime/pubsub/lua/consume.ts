import { script } from '../../redis/script.ts';
import { allowOom, dueing, prologue, releasing, standing } from './common.ts';

/** One script drops so many that expired, or a few more. */
export const mostExpired = 1_000;

/**
 * Leases messages. Arguments: P, subKey, at most, max bytes of data, lease (ms), max deliveries,
 * max in flight, max dead, "1" to take the first one whatever its size,
 * token of the holder or "". Returns -1 when another holds the queue, or nobody does; else
 * how many expired, then seq, token, record of each; where it was handed out before, the token is
 * token|deliveries|failures.
 */
export const takeScript = script(`${allowOom}
${prologue}
${releasing}
${standing}
${dueing}
local sub = ARGV[2]
local q = queue(sub)
if ARGV[10] ~= '' and redis.call('HGET', ps .. 'held', sub) ~= ARGV[10] then return { -1 } end
local expired = settleDue(q, tonumber(ARGV[8]))
local room = math.min(tonumber(ARGV[3]), tonumber(ARGV[7]) - redis.call('ZCARD', q .. 'l'))
local bytes = tonumber(ARGV[4])
local till = string.format('%.0f', now + tonumber(ARGV[5]))
-- Of a message that was never handed out before.
local fresh = '|1|0|' .. ARGV[6] .. '|0|'
local reply, size = { expired }, 1
local taken, leases, infos, full = {}, {}, {}, false
-- Many that expired at once must not keep Redis from all others: the taker asks again.
while room > 0 and not full and reply[1] < ${mostExpired} do
  local seqs = redis.call('ZRANGE', q .. 'w', #taken, #taken + room - 1)
  if #seqs == 0 then break end
  local records = redis.call('HMGET', ps .. 'msgs', unpack(seqs))
  local known = redis.call('HMGET', q .. 'i', unpack(seqs))
  local token = redis.call('INCRBY', ps .. 'leases', #seqs) - #seqs
  for n, seq in ipairs(seqs) do
    local record = records[n]
    local i = known[n] and info(q, seq)
    if not record or expiresAt(record) <= now and not (i and i.keep == 1) then
      redis.call('ZREM', q .. 'w', seq)
      if record then
        forget(q, seq)
        reply[1] = reply[1] + 1
      end
    else
      bytes = bytes - (#record - 23 - (struct.unpack('>I4', record, 20)))
      if bytes < 0 and (#taken > 0 or ARGV[9] ~= '1') then full = true break end
      -- %d costs a third of %.0f.
      local lease = string.format('%d', token + n)
      local count = #taken + 1
      taken[count] = seq
      infos[count * 2 - 1] = seq
      infos[count * 2] = lease .. (i and table.concat(
        { '', i.deliveries + 1, i.failures, ARGV[6], i.keep, i.rest }, '|') or fresh)
      -- Numbers are read faster than texts.
      reply[size + 1] = tonumber(seq)
      reply[size + 2] = i and table.concat({ lease, i.deliveries + 1, i.failures }, '|') or token + n
      reply[size + 3] = record
      size = size + 3
      room = room - 1
    end
  end
end
if #taken > 0 then
  redis.call('ZREM', q .. 'w', unpack(taken))
  -- Backwards: in a small set, which Redis searches from its beginning, each finds its place at once.
  for n = #taken, 1, -1 do
    leases[#leases + 1] = till
    leases[#leases + 1] = taken[n]
  end
  redis.call('ZADD', q .. 'l', unpack(leases))
  redis.call('HSET', q .. 'i', unpack(infos))
  dueBy(sub, till)
end
return reply
`);

/** Arguments: P, subKey, then seq and token of each. Returns 1 or 0 for each. */
export const ackScript = script(`${allowOom}
${prologue}
local q = queue(ARGV[2])
local seqs = {}
for n = 3, #ARGV, 2 do seqs[(n - 1) / 2] = ARGV[n] end
local infos = redis.call('HMGET', q .. 'i', unpack(seqs))
local reply, done, named = {}, {}, {}
for n, seq in ipairs(seqs) do
  local token = ARGV[n * 2 + 2] .. '|'
  -- Whatever ends a lease takes its token away: what is left is 0.
  local held = infos[n] and token ~= '0|' and string.sub(infos[n], 1, #token) == token and not named[seq]
  reply[n] = held and 1 or 0
  if held then
    done[#done + 1] = seq
    named[seq] = true
  end
end
if #done == 0 then return reply end
redis.call('ZREM', q .. 'l', unpack(done))
redis.call('HDEL', q .. 'i', unpack(done))
redis.call('HDEL', q .. 'g', unpack(done))
redis.call('ZREM', q .. 'e', unpack(done))
local refs = redis.call('HMGET', ps .. 'refs', unpack(done))
local freed = {}
for n, seq in ipairs(done) do
  local left = tonumber(refs[n] or '1') - 1
  if left > 1 then redis.call('HSET', ps .. 'refs', seq, left)
  elseif left == 1 then redis.call('HDEL', ps .. 'refs', seq)
  else
    freed[#freed + 1] = seq
    if refs[n] then redis.call('HDEL', ps .. 'refs', seq) end
  end
end
if #freed > 0 then redis.call('HDEL', ps .. 'msgs', unpack(freed)) end
return reply
`);

/**
 * Arguments: P, subKey, max dead, then seven for each: seq, token, delay (ms), "1" when it counts as a failure,
 * max deliveries, the reason to die now or "", JSON of the failure.
 * Returns "waiting", "delayed", "dead" or "gone" for each.
 */
export const rejectScript = script(`${allowOom}
${prologue}
${releasing}
${standing}
${dueing}
local sub = ARGV[2]
local q = queue(sub)
local function reject(seq, token, delay, counts, max, reason, failure)
  local i = info(q, seq)
  if i.token ~= token or redis.call('ZREM', q .. 'l', seq) == 0 then return 'gone' end
  redis.call('HDEL', q .. 'g', seq)
  i.token = '0'
  i.max = max
  if counts then i.failures = i.failures + 1 end
  if failure ~= '' then i.rest = failure end
  if reason == '' and counts and i.failures >= max then reason = 'max-deliveries' end
  if reason ~= '' then
    i.rest = i.rest == '' and '{}' or i.rest
    local comma = i.rest == '{}' and '' or ','
    i.rest = string.sub(i.rest, 1, -2) .. comma .. '"r":' .. cjson.encode(reason) .. '}'
    setInfo(q, seq, i)
    if bury(q, seq, tonumber(ARGV[3])) then return 'dead' end
    dueBy(sub, now + 60000)
    return 'delayed'
  end
  setInfo(q, seq, i)
  if delay <= 0 then
    back(q, seq, i.keep)
    return 'waiting'
  end
  redis.call('ZADD', q .. 'd', string.format('%.0f', now + delay), seq)
  dueBy(sub, now + delay)
  return 'delayed'
end
local reply, waits = {}, false
for n = 4, #ARGV, 7 do
  reply[#reply + 1] = reject(ARGV[n], ARGV[n + 1], tonumber(ARGV[n + 2]), ARGV[n + 3] == '1',
    tonumber(ARGV[n + 4]), ARGV[n + 5], ARGV[n + 6])
  waits = waits or reply[#reply] == 'waiting'
end
if waits and redis.call('HDEL', ps .. 'waiters', sub) == 1 then redis.call('PUBLISH', ps .. 'wake', sub) end
return reply
`);

/** Arguments: P, subKey, lease (ms), then seq and token of each. Returns 1 or 0 for each. */
export const extendScript = script(`${allowOom}
${prologue}
local q = queue(ARGV[2])
local till = string.format('%.0f', now + tonumber(ARGV[3]))
local reply, extended = {}, false
for n = 4, #ARGV, 2 do
  local text = redis.call('HGET', q .. 'i', ARGV[n])
  local held = text and string.match(text, '^%d+') == ARGV[n + 1] and redis.call('ZSCORE', q .. 'l', ARGV[n])
  if held then redis.call('ZADD', q .. 'l', till, ARGV[n]) end
  extended = extended or held
  reply[#reply + 1] = held and 1 or 0
end
-- It may end earlier now.
if extended then redis.call('ZADD', ps .. 'due', 'LT', till, ARGV[2]) end
return reply
`);

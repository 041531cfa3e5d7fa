import { script } from '../../redis/script.ts';
import { allowOom, dueing, prologue, releasing, standing } from './common.ts';

/**
 * Leases messages. Arguments: P, subKey, at most, max bytes of data, lease (ms), max deliveries,
 * max in flight, max dead.
 * Returns how many expired, then seq, token, deliveries, failures, record of each.
 */
export const takeScript = script(`${allowOom}
${prologue}
${releasing}
${standing}
${dueing}
local sub = ARGV[2]
local q = queue(sub)
local expired = settleDue(q, tonumber(ARGV[8]))
local room = math.min(tonumber(ARGV[3]), tonumber(ARGV[7]) - redis.call('ZCARD', q .. 'l'))
local bytes = tonumber(ARGV[4])
local till = string.format('%.0f', now + tonumber(ARGV[5]))
local reply = { expired }
local taken, leases, infos, full = {}, {}, {}, false
while room > 0 and not full do
  local seqs = redis.call('ZRANGE', q .. 'w', #taken, #taken + room - 1)
  if #seqs == 0 then break end
  local records = redis.call('HMGET', ps .. 'msgs', unpack(seqs))
  local known = redis.call('HMGET', q .. 'i', unpack(seqs))
  local token = redis.call('INCRBY', ps .. 'leases', #seqs) - #seqs
  for n, seq in ipairs(seqs) do
    local record = records[n]
    local i = known[n] and info(q, seq) or nil
    if not record or expiresAt(record) <= now and not (i and i.keep == 1) then
      redis.call('ZREM', q .. 'w', seq)
      if record then
        forget(q, seq)
        reply[1] = reply[1] + 1
      end
    else
      bytes = bytes - (#record - 23 - (struct.unpack('>I4', record, 20)))
      if bytes < 0 then full = true break end
      local lease = string.format('%.0f', token + n)
      local deliveries = (i and i.deliveries or 0) + 1
      local failures = i and i.failures or 0
      taken[#taken + 1] = seq
      leases[#leases + 1] = till
      leases[#leases + 1] = seq
      infos[#infos + 1] = seq
      infos[#infos + 1] = table.concat(
        { lease, deliveries, failures, ARGV[6], i and i.keep or 0, i and i.rest or '' }, '|')
      reply[#reply + 1] = seq
      reply[#reply + 1] = lease
      reply[#reply + 1] = deliveries
      reply[#reply + 1] = failures
      reply[#reply + 1] = record
      room = room - 1
    end
  end
end
if #taken > 0 then
  redis.call('ZREM', q .. 'w', unpack(taken))
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
for n = 3, #ARGV, 2 do seqs[#seqs + 1] = ARGV[n] end
local infos = redis.call('HMGET', q .. 'i', unpack(seqs))
local reply, done = {}, {}
for n, seq in ipairs(seqs) do
  local held = infos[n] and string.match(infos[n], '^%d+') == ARGV[n * 2 + 2]
    and redis.call('ZREM', q .. 'l', seq) == 1
  reply[n] = held and 1 or 0
  if held then done[#done + 1] = seq end
end
if #done == 0 then return reply end
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
local reply = {}
for n = 4, #ARGV, 7 do
  reply[#reply + 1] = reject(ARGV[n], ARGV[n + 1], tonumber(ARGV[n + 2]), ARGV[n + 3] == '1',
    tonumber(ARGV[n + 4]), ARGV[n + 5], ARGV[n + 6])
end
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

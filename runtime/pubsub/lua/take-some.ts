import { script } from '../../redis/script.ts';
import { allowOom, dueing, noWrites, prologue, releasing, standing } from './common.ts';

/**
 * Leases some of what waits: of one topic, from the end of the queue, or not beyond a number in flight. A bounded
 * number is looked at. Arguments: P, subKey, at most, max bytes of data, lease (ms), max deliveries, max in flight,
 * max dead, "r" to refuse when so many are in flight or "", what the meta begins with or "", "d" from the end or "",
 * the score to go on from or "".
 * Returns the score to go on from or "", then seq, token, deliveries, failures, record of each; or "full" and how
 * many are in flight.
 */
export const takeSomeScript = script(`${allowOom}
${prologue}
${releasing}
${standing}
${dueing}
local sub, start, down, score = ARGV[2], ARGV[10], ARGV[11] == 'd', ARGV[12]
local q = queue(sub)
settleDue(q, tonumber(ARGV[8]))
local inflight, most = redis.call('ZCARD', q .. 'l'), tonumber(ARGV[7])
if ARGV[9] == 'r' and inflight >= most then return { 'full', inflight } end
if score == '' then score = down and '+inf' or '-inf' end
local room, bytes = math.min(tonumber(ARGV[3]), most - inflight), tonumber(ARGV[4])
local till = string.format('%.0f', now + tonumber(ARGV[5]))
local reply, taken, leases, infos, given = { '' }, {}, {}, {}, {}
local function page()
  local seqs = redis.call(down and 'ZREVRANGEBYSCORE' or 'ZRANGEBYSCORE', q .. 'w', score,
    down and '-inf' or '+inf', 'LIMIT', 0, 50)
  if #seqs > 0 then score = '(' .. redis.call('ZSCORE', q .. 'w', seqs[#seqs]) end
  return seqs
end
local function isWanted(record) return string.sub(record, 24, 23 + #start) == start end
-- False when it does not fit any more.
local function lease(seq, record, token)
  local i = info(q, seq)
  if not record or expiresAt(record) <= now and i.keep == 0 then
    redis.call('ZREM', q .. 'w', seq)
    if record then forget(q, seq) end
    return true
  end
  if not isWanted(record) then return true end
  local metaEnd = 23 + struct.unpack('>I4', record, 20)
  bytes = bytes - (#record - metaEnd)
  if room == 0 or bytes < 0 then return false end
  room = room - 1
  taken[#taken + 1] = seq
  leases[#leases + 1] = till
  leases[#leases + 1] = seq
  i.token, i.deliveries, i.max = token, i.deliveries + 1, ARGV[6]
  infos[#infos + 1] = i
  local id = string.match(string.sub(record, 24, metaEnd), '"i":"([^"]*)"')
  if id then
    given[#given + 1] = seq
    given[#given + 1] = id
  end
  for _, field in ipairs({ seq, token, i.deliveries, i.failures, record }) do reply[#reply + 1] = field end
  return true
end
local function look(seqs)
  local records = redis.call('HMGET', ps .. 'msgs', unpack(seqs))
  local token = redis.call('INCRBY', ps .. 'leases', #seqs) - #seqs
  for n, seq in ipairs(seqs) do
    if not lease(seq, records[n], string.format('%.0f', token + n)) then return false end
  end
  return true
end
for looks = 1, 10 do
  local seqs = room > 0 and page() or {}
  if #seqs == 0 or not look(seqs) then break end
  if looks == 10 then reply[1] = score end
end
if #taken > 0 then
  redis.call('ZREM', q .. 'w', unpack(taken))
  redis.call('ZADD', q .. 'l', unpack(leases))
  for n, i in ipairs(infos) do setInfo(q, taken[n], i) end
  if #given > 0 then redis.call('HSET', q .. 'g', unpack(given)) end
  dueBy(sub, till)
end
return reply
`);

/**
 * The leases of messages. Arguments: P, subKey, then for each: seq or 0, and an id its publisher may have given it.
 * Returns for each seq, token and head of the record of the first, and then of the oldest with that own id; "" where
 * nothing such is leased.
 */
export const leasesScript = script(`${noWrites}
${prologue}
local q = queue(ARGV[2])
local reply, given = {}, nil
local function isLeased(seq) return redis.call('ZSCORE', q .. 'l', seq) end
local function tell(seq)
  local text = seq and isLeased(seq) and redis.call('HGET', q .. 'i', seq)
  local record = text and redis.call('HGET', ps .. 'msgs', seq)
  local known = record and { seq, string.match(text, '^%d+'), string.sub(record, 1, 23) } or { '', '', '' }
  for _, field in ipairs(known) do reply[#reply + 1] = field end
end
local function oldestGiven(id)
  given = given or redis.call('HGETALL', q .. 'g')
  local oldest
  for n = 1, #given, 2 do
    local seq = given[n]
    if given[n + 1] == id and (not oldest or tonumber(seq) < tonumber(oldest)) and isLeased(seq) then oldest = seq end
  end
  return oldest
end
for n = 3, #ARGV, 2 do
  tell(ARGV[n])
  tell(oldestGiven(ARGV[n + 1]))
end
return reply
`);

import { script } from '../../redis/script.ts';
import { prologue, staleness } from './common.ts';

/** `full(fraction)`: nothing more is taken in. `sample(first, last, bytes, fraction)` finds that out, now and then. */
const watermark = `
local function aboveWatermark(fraction)
  local memory = redis.call('INFO', 'memory')
  local used = tonumber(string.match(memory, 'used_memory:(%d+)'))
  local max = tonumber(string.match(memory, 'maxmemory:(%d+)'))
  return max > 0 and used > max * fraction
end
local function full(fraction)
  if redis.call('EXISTS', ps .. 'full') == 0 then return false end
  if aboveWatermark(fraction) then return true end
  redis.call('DEL', ps .. 'full')
  return false
end
local function sample(first, last, bytes, fraction)
  -- INFO costs some 20 us: a sample does, as long as large messages are in it.
  local due = math.floor(last / 256) > math.floor((first - 1) / 256) or bytes > 8192
  if due and aboveWatermark(fraction) then redis.call('SET', ps .. 'full', 1) end
end
`;

/** `known(key)`: "conflict", or "duplicate" with seq|µs|salt|queues, or nil; the key is 27 characters, the data's hash the rest. */
const idempotency = `
local function known(key)
  local text = redis.call('GET', ps .. 'idem:' .. string.sub(key, 1, 27))
  if not text then return nil end
  local hash, first = string.match(text, '^(.-)|(.*)$')
  if hash ~= string.sub(key, 28) then return 'conflict', '' end
  return 'duplicate', first
end
local function remember(key, seq, salt, queues, window)
  redis.call('SET', ps .. 'idem:' .. string.sub(key, 1, 27), table.concat(
    { string.sub(key, 28), seq, string.format('%.0f', us), salt, queues }, '|'), 'EX', window)
end
`;

/** `headOf(expiration, salt, priority)` of a record; `rankOf(priority)`; `swept(expiration)`. */
const recording = `
local function headOf(expiration, salt, priority)
  return struct.pack('>ddHB', us, now + expiration, tonumber(salt), priority)
end
local function recordOf(head, meta, data) return head .. struct.pack('>I4', #meta) .. meta .. data end
local function rankOf(priority) return (9 - priority) * 562949953421312 end
-- Expiries further away are found when the message is taken.
local function swept(expiration) return expiration <= 2592000000 end
`;

/** `enter(sub, push, seq, score, expires or false)`: into one queue; true when its delivery must be woken. */
const entering = `
local function enter(sub, push, seq, score, expires)
  local q = queue(sub)
  redis.call('ZADD', q .. 'w', score, seq)
  if expires then
    redis.call('ZADD', q .. 'e', string.format('%.0f', expires), seq)
    redis.call('ZADD', ps .. 'due', 'LT', string.format('%.0f', expires), sub)
  end
  if push then return redis.call('ZADD', ps .. 'awake', 'NX', now, sub) == 1 end
  if redis.call('HDEL', ps .. 'waiters', sub) == 1 then
    redis.call('PUBLISH', ps .. 'wake', sub)
  end
  return false
end
`;

/**
 * Some publications, each into all its queues or none. Arguments: 1 P  2 definitions revision  3 subscriptions revision
 * 4 salt  5 seconds an idempotency key is known  6 watermark (fraction of maxmemory), then
 *   how many queues; for each subKey, "p" or "", max depth, "r"efuse or "d"rop
 *   how many kinds of publication; for each topic to count or "", priority, expiration (ms), how many queues, their numbers
 *   how many publications; for each number of its kind, meta, data, idempotency key and data hash or ""
 * Returns "stale", or "ok", µs, how many subKeys to wake, these, and for each publication two values: its seq and how
 * many queues, or "conflict", "duplicate" with seq|µs|salt|queues, "full", "crowded" with the subKey.
 */
export const publishScript = script(`
${prologue}
${staleness}
${watermark}
${idempotency}
${recording}
if stale(ARGV[2], ARGV[3]) then return { 'stale' } end
local salt, window, fraction = ARGV[4], ARGV[5], tonumber(ARGV[6])
local isFull = full(fraction)
local at = 7
local queues = {}
for n = 1, tonumber(ARGV[at]) do
  local key = queue(ARGV[at + 1])
  queues[n] = { sub = ARGV[at + 1], key = key, push = ARGV[at + 2] == 'p', max = tonumber(ARGV[at + 3]),
    refuse = ARGV[at + 4] == 'r', depth = redis.call('ZCARD', key .. 'w'), w = {}, e = {} }
  at = at + 4
end
at = at + 1
local kinds = {}
for n = 1, tonumber(ARGV[at]) do
  local priority, expiration = tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3])
  local kind = { topic = ARGV[at + 1], head = headOf(expiration, salt, priority), rank = rankOf(priority),
    expires = swept(expiration) and now + expiration,
    dueAt = string.format('%.0f', now + expiration), into = {}, count = 0 }
  at = at + 4
  for i = 1, tonumber(ARGV[at]) do kind.into[i] = queues[tonumber(ARGV[at + i])] end
  at = at + #kind.into
  kinds[n] = kind
end
at = at + 1
local count = tonumber(ARGV[at])
-- In the most usual case nothing can become full: then nobody counts.
for _, kind in ipairs(kinds) do
  for _, q in ipairs(kind.into) do kind.tight = kind.tight or q.depth + count > q.max end
end
local function fitting(into)
  local fit = {}
  for _, q in ipairs(into) do
    if q.depth < q.max then fit[#fit + 1] = q
    elseif q.refuse then return nil, q.sub end
  end
  return fit
end
local first = redis.call('INCRBY', ps .. 'seq', count) - count + 1
local records, refs, results, bytes = {}, {}, {}, 0
local function put(kind, into, seq)
  -- %d costs a third of %.0f.
  local id = string.format('%d', seq)
  local score = string.format('%d', kind.rank + seq)
  records[#records + 1] = id
  records[#records + 1] = recordOf(kind.head, ARGV[at + 2], ARGV[at + 3])
  bytes = math.max(bytes, #ARGV[at + 3])
  if #into > 1 then
    refs[#refs + 1] = id
    refs[#refs + 1] = #into
  end
  for _, q in ipairs(into) do
    local w, e = q.w, q.e
    w[#w + 1] = score
    w[#w + 1] = id
    q.depth = q.depth + 1
    if kind.expires then
      e[#e + 1] = kind.dueAt
      e[#e + 1] = id
      if not q.due or kind.expires < q.due then q.due = kind.expires end
    end
  end
end
for n = 1, count do
  local kind = kinds[tonumber(ARGV[at + 1])]
  local key = ARGV[at + 4]
  local outcome, detail, into
  if key ~= '' then outcome, detail = known(key) end
  if not outcome and isFull then outcome, detail = 'full', '' end
  if not outcome then
    into = kind.into
    if kind.tight then into, detail = fitting(into) end
    if not into then outcome = 'crowded' end
  end
  if not outcome then
    outcome, detail = first + n - 1, #into
    if #into > 0 then put(kind, into, outcome) end
    if key ~= '' then remember(key, outcome, salt, #into, window) end
    kind.count = kind.count + 1
  end
  results[n * 2 - 1] = outcome
  results[n * 2] = detail
  at = at + 4
end
sample(first, first + count - 1, bytes, fraction)
if #records > 0 then redis.call('HSET', ps .. 'msgs', unpack(records)) end
if #refs > 0 then redis.call('HSET', ps .. 'refs', unpack(refs)) end
for _, kind in ipairs(kinds) do
  if kind.topic ~= '' and kind.count > 0 then
    redis.call('HINCRBY', ps .. 'topics', kind.topic, kind.count)
    redis.call('HSET', ps .. 'topics:last', kind.topic, now)
  end
end
local reply = { 'ok', string.format('%.0f', us), 0 }
for _, q in ipairs(queues) do
  if #q.w > 0 then
    redis.call('ZADD', q.key .. 'w', unpack(q.w))
    if q.due then
      redis.call('ZADD', q.key .. 'e', unpack(q.e))
      redis.call('ZADD', ps .. 'due', 'LT', string.format('%.0f', q.due), q.sub)
    end
    if q.push then
      if redis.call('ZADD', ps .. 'awake', 'NX', now, q.sub) == 1 then reply[#reply + 1] = q.sub end
    elseif redis.call('HDEL', ps .. 'waiters', q.sub) == 1 then redis.call('PUBLISH', ps .. 'wake', q.sub) end
  end
end
reply[3] = #reply - 3
for n = 1, #results do reply[#reply + 1] = results[n] end
return reply
`);

/**
 * For more queues than one script should write: they were staged under a list. Takes the whole fan-out on, or refuses
 * it. Arguments: 1 to 6 as above, 7 topic to count or "", 8 priority, 9 expiration (ms), 10 meta, 11 data,
 * 12 idempotency key and data hash or "", 13 token of the list, 14 how many queues it has.
 * Returns "stale", "unstaged", "full", "conflict", "duplicate" with seq|µs|salt|queues, or "ok" with seq, µs, queues;
 * it wakes nobody yet.
 */
export const acceptScript = script(`
${prologue}
${staleness}
${watermark}
${idempotency}
${recording}
if stale(ARGV[2], ARGV[3]) then return { 'stale' } end
local salt, fraction, topic, key = ARGV[4], tonumber(ARGV[6]), ARGV[7], ARGV[12]
if key ~= '' then
  local outcome, detail = known(key)
  if outcome then return { outcome, detail } end
end
if full(fraction) then return { 'full' } end
local list = ps .. 'fan:' .. ARGV[13]
local queues = redis.call('LLEN', list)
if queues ~= tonumber(ARGV[14]) then return { 'unstaged' } end
local priority, expiration = tonumber(ARGV[8]), tonumber(ARGV[9])
local seq = redis.call('INCR', ps .. 'seq')
sample(seq, seq, #ARGV[11], fraction)
if queues > 0 then
  redis.call('HSET', ps .. 'msgs', seq, recordOf(headOf(expiration, salt, priority), ARGV[10], ARGV[11]))
  if queues > 1 then redis.call('HSET', ps .. 'refs', seq, queues) end
end
if key ~= '' then remember(key, seq, salt, queues, ARGV[5]) end
if topic ~= '' then
  redis.call('HINCRBY', ps .. 'topics', topic, 1)
  redis.call('HSET', ps .. 'topics:last', topic, now)
end
redis.call('PERSIST', list)
redis.call('HSET', ps .. 'fans', ARGV[13], table.concat({ seq, string.format('%.0f', rankOf(priority) + seq),
  swept(expiration) and string.format('%.0f', now + expiration) or '' }, '|'))
return { 'ok', seq, string.format('%.0f', us), queues }
`);

/** Which of these queues (from 2: subKey, max depth) are full. */
export const crowdedScript = script(`
${prologue}
local full = {}
for i = 2, #ARGV, 2 do
  if redis.call('ZCARD', queue(ARGV[i]) .. 'w') >= tonumber(ARGV[i + 1]) then full[#full + 1] = ARGV[i] end
end
return full
`);

/**
 * The next chunk of a fan-out. Arguments: P, both revisions, token, how many queues must be left now, how many
 * this chunk takes off the list, then those of them that still subscribe: subKey, "p" or "".
 * Returns "stale", "moved" (another process works on it) or "ok" with how many are left, and the subKeys to wake.
 */
export const fanScript = script(`
${prologue}
${staleness}
${entering}
if stale(ARGV[2], ARGV[3]) then return { 'stale' } end
local list = ps .. 'fan:' .. ARGV[4]
local fan = redis.call('HGET', ps .. 'fans', ARGV[4])
local left = redis.call('LLEN', list)
if not fan or left ~= tonumber(ARGV[5]) then return { 'moved' } end
local seq, score, expires = string.match(fan, '^(%d+)|(%d+)|(%d*)$')
local reply = { 'ok', 0 }
local entered = 0
for i = 7, #ARGV, 2 do
  entered = entered + 1
  if enter(ARGV[i], ARGV[i + 1] == 'p', seq, score, tonumber(expires)) then reply[#reply + 1] = ARGV[i] end
end
redis.call('LTRIM', list, ARGV[6], -1)
reply[2] = left - tonumber(ARGV[6])
-- The message outlives its fan-out: while one runs, the last acknowledgement must not free it.
local gone = tonumber(ARGV[6]) - entered
if gone > 0 then
  local refs = tonumber(redis.call('HGET', ps .. 'refs', seq) or '1') - gone
  if refs > 0 then redis.call('HSET', ps .. 'refs', seq, refs)
  else
    redis.call('HDEL', ps .. 'refs', seq)
    redis.call('HDEL', ps .. 'msgs', seq)
  end
end
if reply[2] == 0 then
  redis.call('DEL', list)
  redis.call('HDEL', ps .. 'fans', ARGV[4])
end
return reply
`);

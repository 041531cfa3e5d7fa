import { script } from '../../redis/script.ts';
import { allowOom, dueing, noWrites, prologue, releasing, standing } from './common.ts';

const kinds = `local kinds = { waiting = 'w', leased = 'l', delayed = 'd', dead = 'x' }`;
const whole = `${allowOom}
${prologue}
${releasing}
${standing}
${dueing}
${kinds}
`;

/** Arguments: P, then subKeys. Returns waiting, leased, delayed, dead and the record head of the oldest, for each. */
export const depthScript = script(`${noWrites}
${prologue}
local reply = {}
for n = 2, #ARGV do
  local q = queue(ARGV[n])
  for _, kind in ipairs({ 'w', 'l', 'd', 'x' }) do reply[#reply + 1] = redis.call('ZCARD', q .. kind) end
  local oldest = ''
  if reply[#reply - 3] > 0 then
    -- The first of each priority is its oldest.
    for priority = 0, 9 do
      local from = priority * 562949953421312
      local seq = redis.call('ZRANGEBYSCORE', q .. 'w', string.format('%.0f', from),
        string.format('(%.0f', from + 562949953421312), 'LIMIT', 0, 1)[1]
      local record = seq and redis.call('HGET', ps .. 'msgs', seq)
      if record then
        local at = string.format('%.0f', struct.unpack('>d', record, 1) / 1000)
        if oldest == '' or tonumber(at) < tonumber(oldest) then oldest = at end
      end
    end
  end
  reply[#reply + 1] = oldest
end
return reply
`);

/**
 * A page of one state, as it stands. Arguments: P, subKey, state, from, limit.
 * Returns the total, then seq, score, info, record of each; info and record are "" where there is none.
 */
export const browseScript = script(`${noWrites}
${prologue}
${kinds}
local q = queue(ARGV[2])
local key = q .. kinds[ARGV[3]]
local page = redis.call('ZRANGE', key, ARGV[4], ARGV[4] + ARGV[5] - 1, 'WITHSCORES')
local reply = { redis.call('ZCARD', key) }
for n = 1, #page, 2 do
  reply[#reply + 1] = page[n]
  reply[#reply + 1] = page[n + 1]
  reply[#reply + 1] = redis.call('HGET', q .. 'i', page[n]) or ''
  reply[#reply + 1] = redis.call('HGET', ps .. 'msgs', page[n]) or ''
end
return reply
`);

/**
 * Where one message stands. Arguments: P, seq, then subKeys.
 * Returns its record or "", then subKey, state, score, info of each queue that holds it.
 */
export const findScript = script(`${noWrites}
${prologue}
${kinds}
local seq = ARGV[2]
local reply = { redis.call('HGET', ps .. 'msgs', seq) or '' }
if reply[1] == '' then return reply end
for n = 3, #ARGV do
  local q = queue(ARGV[n])
  for state, kind in pairs(kinds) do
    local score = redis.call('ZSCORE', q .. kind, seq)
    if score then
      reply[#reply + 1] = ARGV[n]
      reply[#reply + 1] = state
      reply[#reply + 1] = score
      reply[#reply + 1] = redis.call('HGET', q .. 'i', seq) or ''
    end
  end
end
return reply
`);

/** Arguments: P, subKey, seq. Returns "removed", "leased" or "none". */
export const removeScript = script(`${whole}
local q, seq = queue(ARGV[2]), ARGV[3]
if redis.call('ZSCORE', q .. 'l', seq) then return 'leased' end
for _, kind in ipairs({ 'w', 'd', 'x' }) do
  if redis.call('ZREM', q .. kind, seq) == 1 then
    forget(q, seq)
    return 'removed'
  end
end
return 'none'
`);

/**
 * A chunk of a purge. Arguments: P, subKey, state, only up to this seq, only received before (ms) or "", from which
 * rank, at most so many looked at. Returns how many were looked at, how many of them removed, and the last seq.
 */
export const purgeScript = script(`${whole}
local q = queue(ARGV[2])
local key = q .. kinds[ARGV[3]]
local from = tonumber(ARGV[6])
local seqs = redis.call('ZRANGE', key, from, from + ARGV[7] - 1)
local removed = 0
for _, seq in ipairs(seqs) do
  local record = recordOf(seq)
  local young = ARGV[5] ~= '' and record and struct.unpack('>d', record, 1) / 1000 >= tonumber(ARGV[5])
  if tonumber(seq) <= tonumber(ARGV[4]) and not young then
    redis.call('ZREM', key, seq)
    forget(q, seq)
    removed = removed + 1
  end
end
return { #seqs, removed }
`);

/**
 * Dead messages back to their places, with all their attempts again; how often they were handed out counts on. They do not expire any more: somebody wants them now.
 * Arguments: P, subKey, at most, "p" or "", then seqs, or none for the oldest.
 * Returns "w" or "" for whether the delivery must be woken, then the seqs.
 */
export const redriveScript = script(`${whole}
local sub = ARGV[2]
local q = queue(sub)
local seqs = {}
for n = 5, #ARGV do seqs[#seqs + 1] = ARGV[n] end
if #seqs == 0 then seqs = redis.call('ZRANGE', q .. 'x', 0, ARGV[3] - 1) end
local reply = { '' }
for _, seq in ipairs(seqs) do
  if redis.call('ZREM', q .. 'x', seq) == 1 then
    local deliveries = info(q, seq).deliveries
    setInfo(q, seq, { token = '0', deliveries = deliveries, failures = 0, max = 0, keep = 1, rest = '' })
    back(q, seq, 1)
    reply[#reply + 1] = seq
  end
end
if #reply > 1 then
  if ARGV[4] == 'p' then
    if redis.call('ZADD', ps .. 'awake', 'NX', now, sub) == 1 then reply[1] = 'w' end
  elseif redis.call('HDEL', ps .. 'waiters', sub) == 1 then redis.call('PUBLISH', ps .. 'wake', sub) end
end
return reply
`);

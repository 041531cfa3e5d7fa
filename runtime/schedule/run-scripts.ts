import { script } from '../redis/script.ts';

/** A job that is neither finished nor gone: its run goes on, or will go on in another process. */
const alive = `
local function alive(prefix, id)
  return redis.call('EXISTS', prefix .. id) == 1
    and redis.call('HEXISTS', prefix .. id, 'finishedOn') == 0
end
`;

/** The history keeps so many. */
export const keptRuns = 50;

/*
 * A call is a line of flags, then its input: Lua reads no JSON of users, which it may refuse.
 *
 * Keys: calls, ticks (both hashes by schedule), running (hash by run).
 * Arguments: schedule, run, kind, "1" when it is late, prefix of job keys, token, cid, start.
 * Returns verdict, the call, then: the cid and tries of this run, or the run that is in its way.
 */
export const claimScript = script(String.raw`${alive}
local name, id, kind, late, prefix = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local raw = redis.call('HGET', KEYS[1], name)
if not raw then
  redis.call('DEL', KEYS[3])
  return { 'gone' }
end
local call = cjson.decode(string.match(raw, '^[^\n]*'))
local mine = redis.call('HGET', KEYS[3], id)
if kind == 'tick' and not call.enabled then
  redis.call('HDEL', KEYS[3], id)
  return { 'gone' }
end
local tries, cid = 1, ARGV[7]
if mine then
  local before = cjson.decode(mine)
  tries, cid = before.tries + 1, before.cid
else
  if kind == 'tick' and late == '1' and call.missed == 'skip' then return { 'missed', raw } end
  local flat = redis.call('HGETALL', KEYS[3])
  for i = 1, #flat, 2 do
    if not alive(prefix, flat[i]) then redis.call('HDEL', KEYS[3], flat[i])
    elseif not call.overlap then return { 'overlap', raw, cjson.decode(flat[i + 1]).cid } end
  end
  if kind == 'tick' then
    local done = tonumber(redis.call('HGET', KEYS[2], name) or '0')
    if call.maxRuns and done >= call.maxRuns then return { 'gone' } end
    redis.call('HINCRBY', KEYS[2], name, 1)
  end
end
redis.call('HSET', KEYS[3], id, cjson.encode({
  id = id, kind = kind, cid = cid, startedAt = ARGV[8], token = ARGV[6], tries = tries,
}))
return { 'run', raw, cid, tries }
`);

const push = `
redis.call('LPUSH', KEYS[2], entry)
redis.call('LTRIM', KEYS[2], 0, ${keptRuns - 1})
`;

/*
 * Keys: calls, runs (list), running. Arguments: schedule, run, token, entry.
 * Returns 1; 0 when the schedule is gone, or the run was taken over by another process.
 */
export const finishScript = script(`
local name, id, token, entry = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
if redis.call('HEXISTS', KEYS[1], name) == 0 then
  redis.call('DEL', KEYS[3])
  return 0
end
local mine = redis.call('HGET', KEYS[3], id)
if not mine or cjson.decode(mine).token ~= token then return 0 end
redis.call('HDEL', KEYS[3], id)
${push}
return 1
`);

/*
 * Keys: calls, runs. Arguments: schedule, entry. Skips in a row for one reason are one entry.
 * Returns how many they are now; 0 when the schedule is gone.
 */
export const skipScript = script(`
local entry = ARGV[2]
if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 0 then return 0 end
local newest = redis.call('LINDEX', KEYS[2], 0)
if newest then
  local readable, last = pcall(cjson.decode, newest)
  local now = cjson.decode(entry)
  if readable and last.result == 'skipped' and last.kind == now.kind and last.error == now.error then
    last.times = (last.times or 1) + 1
    redis.call('LSET', KEYS[2], 0, cjson.encode(last))
    return last.times
  end
end
${push}
return 1
`);

/*
 * Keys: ticks, runs, running. Arguments: schedule, prefix of job keys, how many runs.
 * Returns ticks that ran, the newest runs, what runs now.
 */
export const stateScript = script(`${alive}
local running = {}
for _, entry in ipairs(redis.call('HVALS', KEYS[3])) do
  if alive(ARGV[2], cjson.decode(entry).id) then running[#running + 1] = entry end
end
return {
  tonumber(redis.call('HGET', KEYS[1], ARGV[1]) or '0'),
  redis.call('LRANGE', KEYS[2], 0, tonumber(ARGV[3]) - 1),
  running,
}
`);

import { script } from '../redis/script.ts';

/*
 * Keys of both: install id, revision, set of types, changes (sorted set of "type/name" by the revision
 * of its last change, deletions included), then one hash per type (name -> definition).
 */

/**
 * Arguments: the revision read before, or "" for everything; then the types, as their hashes.
 * Returns install id, revision, then type, name, text of each definition; text is nil when it is gone.
 * A type nobody asked for comes with neither name nor text.
 */
export const readScript = script(`
local hashes = {}
for i = 2, #ARGV do hashes[ARGV[i]] = KEYS[i + 3] end
local reply = { redis.call('GET', KEYS[1]), tonumber(redis.call('GET', KEYS[2]) or '0') }
local function add(type, name, text)
  reply[#reply + 1] = type
  reply[#reply + 1] = name
  reply[#reply + 1] = text
end
if ARGV[1] == '' then
  for type, hash in pairs(hashes) do
    local flat = redis.call('HGETALL', hash)
    for i = 1, #flat, 2 do add(type, flat[i], flat[i + 1]) end
  end
  for _, type in ipairs(redis.call('SMEMBERS', KEYS[3])) do
    if not hashes[type] then add(type, '', false) end
  end
else
  for _, changed in ipairs(redis.call('ZRANGEBYSCORE', KEYS[4], '(' .. ARGV[1], '+inf')) do
    local type, name = string.match(changed, '^([^/]*)/(.*)$')
    if type and hashes[type] then add(type, name, redis.call('HGET', hashes[type], name))
    elseif type then add(type, '', false) end
  end
end
return reply
`);

/**
 * Compare-and-set for a set of changes: all or nothing, one revision.
 * Arguments: install id, the revision that must be there, the channel to tell, then for each change the
 * index of its hash in KEYS, its type, its name, and its text or "" to delete it.
 * Returns "ok", "moved" or "lost" (another or an emptied Redis), and the revision.
 */
export const commitScript = script(`
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return { 'lost', 0 } end
local revision = tonumber(redis.call('GET', KEYS[2]) or '0')
local expected = tonumber(ARGV[2])
if revision < expected then return { 'lost', revision } end
if revision > expected then return { 'moved', revision } end
revision = revision + 1
for i = 4, #ARGV, 4 do
  local hash, type, name, text = KEYS[tonumber(ARGV[i])], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3]
  if text == '' then redis.call('HDEL', hash, name)
  else redis.call('HSET', hash, name, text) end
  redis.call('SADD', KEYS[3], type)
  redis.call('ZADD', KEYS[4], revision, type .. '/' .. name)
end
redis.call('ZREMRANGEBYRANK', KEYS[4], 0, -100001)
redis.call('SET', KEYS[2], revision)
redis.call('PUBLISH', ARGV[3], revision)
return { 'ok', revision }
`);

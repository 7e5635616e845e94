-- Changes a list that all nodes share, such as the places of a network. Follows clock.lua.
-- KEYS[1] sorted set: members by the ms at which they were added; gone by itself
-- ARGV[1] now in ms (0: the store's clock)
-- ARGV[2] ms after which members are forgotten
-- ARGV[3] age in ms of the oldest member to be returned
-- ARGV[4] largest number of members to be returned
-- ARGV[5] number of members to be added
-- ARGV[6…] these, then the members to be removed
-- Returns units: members, the newest first, and their ages in ms, in turn.
local list, added = KEYS[1], tonumber(ARGV[5])
redis.call('ZREMRANGEBYSCORE', list, '-inf', now - ARGV[2])
for i = 6, #ARGV do
  if i < 6 + added then redis.call('ZADD', list, now, ARGV[i]) else redis.call('ZREM', list, ARGV[i]) end
end
redis.call('PEXPIRE', list, ARGV[2])
local units = redis.call('ZREVRANGEBYSCORE', list, '+inf', now - ARGV[3], 'WITHSCORES', 'LIMIT', 0, ARGV[4])
for i = 2, #units, 2 do units[i] = now - units[i] end
return { 'ok', 'units', units }

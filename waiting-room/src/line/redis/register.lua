-- Replaces an event's entry in the registry, unless it is another one by now.
-- KEYS[1] hash of the entries of all events
-- ARGV[1] the event
-- ARGV[2] the entry to be replaced
-- ARGV[3] the new one; empty: none
-- Returns nothing but {'ok'}; {'over'} if it is another one.
local kept = redis.call('HGET', KEYS[1], ARGV[1])
if kept and kept ~= ARGV[2] then return { 'over' } end
if ARGV[3] == '' then
  redis.call('HDEL', KEYS[1], ARGV[1])
else
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
end
return { 'ok' }

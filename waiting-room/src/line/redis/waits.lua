-- Returns waiting times.
-- KEYS[1] prefix of the event's keys
--   waits  read
-- and those of head.lua
-- ARGV[1] now in ms (0: the store's clock)
-- ARGV[2] id of this node
-- Returns waits: those of the last 1,000 admitted visitors in seconds.
return { 'ok', 'waits', call('LRANGE', keys.waits, 0, -1) }

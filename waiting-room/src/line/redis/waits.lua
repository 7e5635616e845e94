-- Returns waiting times.
-- KEYS[1] prefix of the event's keys
-- ARGV[1] now in ms (0: the store's clock)
-- ARGV[2] id of this node
-- Returns waits: those of the last 1,000 admitted visitors in seconds.
return { 'ok', 'waits', call('LRANGE', waits, 0, -1) }

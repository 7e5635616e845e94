-- Creates the line of an event. Follows keys.lua and clock.lua.
-- KEYS[1] prefix of the event's keys
--   meta  read and written
-- ARGV[1] now in ms (0: the store's clock)
-- ARGV[2] id of this node
-- ARGV[3…] fields of the line and their values in turn, with its creation and life
-- Returns nothing but {'ok'}. {'exists'} if the event exists.
if call('EXISTS', keys.meta) == 1 then return { 'exists' } end
local run = string.match(call('INFO', 'replication'), 'master_replid:(%x+)')
call('HSET', keys.meta, 'run', run, 'phase', -1, 'revision', 0, 'changed_at', now, unpack(ARGV, 3))
return { 'ok' }

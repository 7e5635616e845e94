-- Creates the line of an event. Follows keys.lua and clock.lua.
-- KEYS[1] prefix of the event's keys
-- ARGV[1] now in ms (0: the store's clock)
-- ARGV[2] id of this node
-- ARGV[3] the settings (JSON)
-- ARGV[4…] fields of the line and their values in turn
-- Returns nothing but {'ok'}. {'exists'} if the event exists.
if call('EXISTS', meta) == 1 then return { 'exists' } end
local run = string.match(call('INFO', 'server'), 'run_id:(%x+)')
call('HSET', meta, 'run', run, 'epoch', now, 'born', now, 'gen', 1, 'phase', -1, 'settings', ARGV[3],
  unpack(ARGV, 4))
return { 'ok' }

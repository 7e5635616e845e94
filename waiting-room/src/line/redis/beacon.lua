-- Stores the round of the beacon, unless one is stored already.
-- KEYS[1] prefix of the event's keys
--   meta  written
-- and those of head.lua
-- ARGV[1] now in ms (0: the store's clock)
-- ARGV[2] id of this node
-- ARGV[3] the round (JSON)
-- Returns nothing but {'ok'}.
if m.has_beacon == 0 then
  call('HSET', keys.meta, 'beacon', ARGV[3], 'has_beacon', 1, 'revision', m.revision + 1)
end
return { 'ok' }

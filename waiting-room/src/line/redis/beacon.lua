-- Stores the round of the beacon, unless one is stored already.
-- KEYS[1] prefix of the event's keys
--   meta  read and written
-- and those of head.lua
-- ARGV[1] now in ms (0: the store's clock)
-- ARGV[2] id of this node
-- ARGV[3] the round (JSON)
-- ARGV[4] seed of the draw that it is for
-- Returns nothing but {'ok'}. {'busy'} if the organiser has made another draw of it.
if call('HGET', keys.meta, 'seed') ~= ARGV[4] then return { 'busy' } end
if m.has_beacon == 0 then
  call('HSET', keys.meta, 'beacon', ARGV[3], 'has_beacon', 1, 'revision', m.revision + 1)
end
return { 'ok' }

-- Returns the places of visitors, for organisers: nothing shows that the visitors are there.
-- KEYS[1] prefix of the event's keys
--   none but those of head.lua, numbers.lua, places.lua
-- ARGV[1] now in ms (0: the store's clock)
-- ARGV[2] id of this node
-- ARGV[3…] visitors, at most 50
-- Returns units: for each a place, or '' without one. {'busy'} during a recovery.
if m.settle_until > 0 then return { 'busy' } end
local asked, answers = { unpack(ARGV, 3) }, {}
local found = look_up(asked)
for i = 1, #asked do answers[i] = place_of(found, i, #asked <= 8) or '' end
return { 'ok', 'units', answers }

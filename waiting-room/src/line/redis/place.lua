-- Returns the places of visitors and restarts their away_seconds.
-- KEYS[1] prefix of the event's keys
--   none but those of head.lua, numbers.lua, places.lua
-- ARGV[1] now in ms (0: the store's clock)
-- ARGV[2] id of this node
-- ARGV[3…] visitors, at most 50
-- Returns units: for each a place, or '' without one; is_deaf (1: during a draw, when nothing is
-- changed, so that the caller has to tell of these visitors again). {'busy'} during a recovery, when
-- the store may have an older state than the visitor was told.
if m.settle_until > 0 then return { 'busy' } end
local asked = { unpack(ARGV, 3) }
local found, answers = look_up(asked), {}
for i = 1, #asked do
  local place, state, n = place_of(found, i, #asked <= 8)
  -- Also where a node holds a socket, which may have died unnoticed.
  if state == WAITING and m.draw ~= 2 then set_deadline(n, now + m.away_ms) end
  answers[i] = place or ''
end
return { 'ok', 'units', answers, 'is_deaf', m.draw == 2 and 1 or 0 }

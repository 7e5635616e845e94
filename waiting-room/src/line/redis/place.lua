-- Returns the places of visitors and restarts their away_seconds.
-- ARGV[3…] visitors, at most 125.
-- Returns {'ok'}, then for each a spot, or '' if they have no place.
local asked = { unpack(ARGV, 3) }
local kept, answers = call('HMGET', visitors, unpack(asked)), { 'ok' }
for i = 1, #asked do
  local spot_, n = place_of(kept[i], #asked <= 8)
  -- A visitor with an open socket stays connected. During a draw nothing is changed.
  if n and spot_[2] == WAITING and m.draw ~= 2 and owner(n) == 0 then expect_life(n, now + m.away_ms) end
  answers[i + 1] = spot_ or ''
end
return answers

-- Gives up places or slots.
-- KEYS[1] prefix of the event's keys
-- ARGV[1] now in ms (0: the store's clock)
-- ARGV[2] id of this node
-- ARGV[3…] visitors, 16 bytes each, at most 125
-- Returns units: 1 for each. {'busy'} during a draw.
if m.draw == 2 then return { 'busy' } end
local asked = { unpack(ARGV, 3) }
local kept, answers = call('HMGET', visitors, unpack(asked)), {}
for i = 1, #asked do
  local n = tonumber(kept[i] or nil) or 0
  if n > 0 then settle(n, LEFT, 't_left') end
  answers[i] = 1
end
save_counts()
return { 'ok', 'units', answers }

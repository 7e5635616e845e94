-- Removes visitors for good, including those who left already, so that they cannot come back.
-- KEYS[1] prefix of the event's keys
-- ARGV[1] now in ms (0: the store's clock)
-- ARGV[2] id of this node
-- ARGV[3…] visitors, 16 bytes each, at most 125
-- Returns units: 1 for each that had a place, else 0. {'busy'} during a draw.
if m.draw == 2 then return { 'busy' } end
local asked = { unpack(ARGV, 3) }
local kept, answers = call('HMGET', visitors, unpack(asked)), {}
for i, visitor in ipairs(asked) do
  local n = tonumber(kept[i] or nil)
  if n and n > 0 then
    settle(n, EJECTED, 't_left')
    end_as(n, EJECTED)
  elseif n then
    call('HSET', visitors, visitor, -EJECTED)
  end
  answers[i] = n and 1 or 0
end
save_counts()
return { 'ok', 'units', answers }

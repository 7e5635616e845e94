-- Removes visitors for good, including those who left already, so that they cannot come back.
-- KEYS[1] prefix of the event's keys
--   waiting  read
--   ended    written
-- and those of head.lua, save.lua, numbers.lua, places.lua
-- ARGV[1] now in ms (0: the store's clock)
-- ARGV[2] id of this node
-- ARGV[3…] visitors, at most 50
-- Returns is_undrawn (1: the numbers are still to be drawn); units: for each the number of the place
-- that it had (0: none since the draw), or -1 without a place. {'busy'} during a draw and during a
-- recovery.
if m.draw == 2 or m.settle_until > 0 then return { 'busy' } end
local answers = {}
for i = 3, #ARGV do
  local visitor = ARGV[i]
  local n = settle(visitor, call('ZSCORE', keys.waiting, visitor), EJECTED, 't_left')
  if n == 0 then
    local _, _, number = place_of(look_up({ visitor }), 1, false)
    n = number or -1
    if n == 0 then
      call('HSET', keys.ended, visitor, '0 ejected')
    elseif n > 0 then
      record_end(n, visitor, EJECTED)
    end
  end
  answers[i - 2] = n
end
save()
return { 'ok', 'is_undrawn', m.draw == 1 and 1 or 0, 'units', answers }

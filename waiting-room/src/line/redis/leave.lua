-- Gives up places or slots.
-- KEYS[1] prefix of the event's keys
--   waiting  read
-- and those of head.lua, save.lua, numbers.lua, places.lua
-- ARGV[1] now in ms (0: the store's clock)
-- ARGV[2] id of this node
-- ARGV[3…] visitors, at most 50
-- Returns is_undrawn (1: the numbers are still to be drawn); units: for each the number whose place
-- ended, now or at an attempt before, else 0. {'busy'} during a draw and during a recovery.
if m.draw == 2 or m.settle_until > 0 then return { 'busy' } end
local answers = {}
for i = 3, #ARGV do
  local visitor = ARGV[i]
  local n = settle(visitor, call('ZSCORE', keys.waiting, visitor), LEFT, 't_left')
  if n == 0 then
    -- The answer may have been lost, and nodes have to know of the end if the store loses it.
    local _, state, number = place_of(look_up({ visitor }), 1, false)
    if state == LEFT then n = number end
  end
  answers[i - 2] = n
end
save()
return { 'ok', 'is_undrawn', m.draw == 1 and 1 or 0, 'units', answers }

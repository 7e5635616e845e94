-- Gives up places or slots.
-- KEYS[1] prefix of the event's keys
--   waiting  read
-- and those of head.lua, numbers.lua, places.lua
-- ARGV[1] now in ms (0: the store's clock)
-- ARGV[2] id of this node
-- ARGV[3…] visitors, at most 50
-- Returns is_undrawn (1: the numbers are still to be drawn); units: for each the number whose place
-- ended, else 0. {'busy'} during a draw and during a recovery.
if m.draw == 2 or m.settle_until > 0 then return { 'busy' } end
local answers = {}
for i = 3, #ARGV do
  answers[i - 2] = settle(ARGV[i], call('ZSCORE', keys.waiting, ARGV[i]), LEFT, 't_left')
end
save()
return { 'ok', 'is_undrawn', m.draw == 1 and 1 or 0, 'units', answers }

-- Ends the slots of visitors who are done shopping; others are left alone. The caller checked their
-- tokens.
-- KEYS[1] prefix of the event's keys
--   waiting  read
-- and those of head.lua, numbers.lua, places.lua
-- ARGV[1] now in ms (0: the store's clock)
-- ARGV[2] id of this node
-- ARGV[3…] visitor and number in turn, at most 125 of each
-- Returns units: for each the number if its place ended, else 0. {'busy'} during a draw and during a
-- recovery.
if m.draw == 2 or m.settle_until > 0 then return { 'busy' } end
local answers = {}
for i = 3, #ARGV, 2 do
  local visitor, n = ARGV[i], tonumber(ARGV[i + 1])
  local slot = slot_of(visitor)
  -- One who waits with this number was admitted, and the store has lost that.
  local score = tonumber(call('ZSCORE', keys.waiting, visitor) or nil)
  local is_inside = slot and slot.number == n or score == n and n <= m.known
  answers[#answers + 1] = is_inside and settle(visitor, score, FINISHED, 't_finished') or 0
end
save()
return { 'ok', 'units', answers }

-- Records that sockets opened at this node, which keeps the places while they stay open. The node
-- that held an older socket of the visitor is told with its next tick.
-- KEYS[1] prefix of the event's keys
--   none but those of head.lua, save.lua, numbers.lua, places.lua, nodes.lua, hold.lua
-- ARGV[1] now in ms (0: the store's clock)
-- ARGV[2] id of this node
-- ARGV[3…] visitors, at most 50
-- Returns units: for each a place, or '' without one. {'busy'} during a draw and during a recovery.
if m.draw == 2 or m.settle_until > 0 then return { 'busy' } end
local asked, index = { unpack(ARGV, 3) }, node_index()
local found, answers = look_up(asked), {}
for i, visitor in ipairs(asked) do
  local place, state, n = place_of(found, i, #asked <= 8)
  if n and n > 0 then hold(n, visitor, index, state == WAITING) end
  answers[i] = place or ''
end
save()
return { 'ok', 'units', answers }

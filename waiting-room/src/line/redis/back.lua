-- Records that sockets opened at this node, which keeps the places while they stay open. The node
-- that held an older socket of the visitor is told with its next tick.
-- KEYS[1] prefix of the event's keys
-- ARGV[1] now in ms (0: the store's clock)
-- ARGV[2] id of this node
-- ARGV[3…] visitors, 16 bytes each, at most 125
-- Returns units: for each a place, or '' without one. {'busy'} during a draw.
if m.draw == 2 then return { 'busy' } end
local asked, index = { unpack(ARGV, 3) }, node_index()
local kept, answers = call('HMGET', visitors, unpack(asked)), {}
for i, visitor in ipairs(asked) do
  local place, state, n = place_of(kept[i], #asked <= 8)
  if n then hold(n, visitor, index, state == WAITING) end
  answers[i] = place or ''
end
save('connected')
return { 'ok', 'units', answers }

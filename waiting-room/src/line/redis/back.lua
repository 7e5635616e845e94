-- Records that sockets opened at this node, which keeps the places while they stay open. The node that held an older
-- socket of the visitor is told with its next tick.
-- ARGV[3…] visitors, at most 125. Returns as place.lua; {'busy'} during a draw.
if m.draw == 2 then return { 'busy' } end
local asked, index = { unpack(ARGV, 3) }, node_index()
local kept, answers = call('HMGET', visitors, unpack(asked)), { 'ok' }
for i, visitor in ipairs(asked) do
  local spot_, n = place_of(kept[i], #asked <= 8)
  if n then hold(n, visitor, index, spot_[2] == WAITING) end
  answers[i + 1] = spot_ or ''
end
save('connected')
return answers

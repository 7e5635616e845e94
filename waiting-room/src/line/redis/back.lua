-- Sockets opened at this node: their places are kept for as long as they stay open. ARGV[3…] visitors, at most 125.
-- The node that held an older socket of the visitor hears of it with its next tick. Returns as place.lua.
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

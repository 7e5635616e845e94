-- Gives up places or slots.
-- ARGV[3…] visitors, at most 125.
-- Returns {'ok'}, then 1 for each; {'busy'} during a draw.
if m.draw == 2 then return { 'busy' } end
local asked = { unpack(ARGV, 3) }
local kept, answers = call('HMGET', visitors, unpack(asked)), { 'ok' }
for i = 1, #asked do
  local n = tonumber(kept[i] or nil) or 0
  if n > 0 then settle(n, LEFT, 't_left') end
  answers[i + 1] = 1
end
save_counts()
return answers

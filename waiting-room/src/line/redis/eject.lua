-- Removes visitors for good, also those who are gone already: they may not come back. ARGV[3…] visitors, at most 125.
-- Returns {'ok'}, then for each whether there was one.
if m.draw == 2 then return { 'busy' } end
local asked = { unpack(ARGV, 3) }
local kept, answers = call('HMGET', visitors, unpack(asked)), { 'ok' }
for i, visitor in ipairs(asked) do
  local n = tonumber(kept[i] or nil)
  if n and n > 0 then
    settle(n, EJECTED, 't_left')
    end_as(n, EJECTED)
  elseif n then
    call('HSET', visitors, visitor, -EJECTED)
  end
  answers[i + 1] = n and 1 or 0
end
save_counts()
return answers

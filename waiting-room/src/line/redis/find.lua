-- Looks places up by number.
-- ARGV[3…] numbers, at most 8.
-- Returns {'ok'}, then for each a spot followed by the visitor (zeros for a visitor who has not come back since the
--   store lost its data), or ''.
local answers = { 'ok' }
for i = 3, #ARGV do
  local n = tonumber(ARGV[i])
  if n > 0 and n <= m.numbers then
    local spot_ = spot(n, true)
    local whose = string.sub(record(n), 1, 16)
    spot_[7] = #whose == 16 and whose or string.rep('\0', 16)
    answers[i - 1] = spot_
  else
    answers[i - 1] = ''
  end
end
return answers

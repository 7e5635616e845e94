-- Who has these numbers. ARGV[3…] numbers, at most 8. Returns {'ok'}, then for each a spot and the visitor, or ''.
local answers = { 'ok' }
for i = 3, #ARGV do
  local n = tonumber(ARGV[i])
  if n > 0 and n <= m.numbers then
    local spot_ = spot(n, true)
    spot_[7] = string.sub(record(n), 1, 16)
    answers[i - 1] = spot_
  else
    answers[i - 1] = ''
  end
end
return answers

-- Looks places up by number.
-- KEYS[1] prefix of the event's keys
-- ARGV[1] now in ms (0: the store's clock)
-- ARGV[2] id of this node
-- ARGV[3…] numbers, at most 8
-- Returns units: for each a place with its visitor (zeros for one who has not come back since the
-- store lost its data), or '' if the number was not given out.
local answers = {}
for i = 3, #ARGV do
  local n = tonumber(ARGV[i])
  if n > 0 and n <= m.numbers then
    local place = place_at(n, true)
    local whose = string.sub(record(n), 1, 16)
    place[#place + 1] = 'visitor'
    place[#place + 1] = #whose == 16 and whose or string.rep('\0', 16)
    answers[i - 2] = place
  else
    answers[i - 2] = ''
  end
end
return { 'ok', 'units', answers }

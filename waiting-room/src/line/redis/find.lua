-- Looks places up by number.
-- KEYS[1] prefix of the event's keys
--   none but those of head.lua, numbers.lua, places.lua
-- ARGV[1] now in ms (0: the store's clock)
-- ARGV[2] id of this node
-- ARGV[3…] numbers, at most 8
-- Returns units: for each a place with its visitor ('' for one who has not come back since the store
-- lost its data), or '' if the number was not given out. {'busy'} during a recovery.
if m.settle_until > 0 then return { 'busy' } end
local answers = {}

-- Returns the place of number n whose visitor has a newer one, or is not known.
local function place_at(n)
  if is_waiting(n) then return { 'number', n, 'state', WAITING, 'ahead', ahead(n) } end
  return { 'number', n, 'state', end_of(n) or MISSED }
end

for i = 3, #ARGV do
  local n = tonumber(ARGV[i])
  local answer = ''
  if n > 0 and n <= m.numbers then
    local visitor = visitor_of(n)
    local place, _, number = place_of(look_up({ visitor or '#' .. n }), 1, true)
    answer = number == n and place or provisional(place_at(n))
    answer[#answer + 1], answer[#answer + 2] = 'visitor', visitor or ''
  end
  answers[i - 2] = answer
end
return { 'ok', 'units', answers }

-- Restores the places that passes prove.
-- KEYS[1] prefix of the event's keys
-- ARGV[1] now in ms (0: the store's clock)
-- ARGV[2] id of this node
-- ARGV[3…] visitor (16 bytes), number, and 1 if this node holds their socket, in turn, at most 125
--   of each
-- Returns units: for each a place, or '' if the number now belongs to another visitor. {'busy'}
-- during a draw.
if m.draw == 2 then return { 'busy' } end
local answers, index, no_visitor = {}, node_index(), string.rep('\0', 16)

-- Returns whether the visitor may take number n: it is free, and the store has no place of theirs
-- or an older one that is over. A visitor who joined again has several numbers, of which the newest
-- counts.
local function may_take(visitor, n)
  local kept = call('HGET', visitors, visitor)
  if n < 1 or n <= (tonumber(kept or nil) or 0) then return false end
  local _, state = place_of(kept, false)
  state = state or FINISHED
  local whose = string.sub(record(n), 1, 16)
  return state >= FINISHED and state ~= EJECTED and (whose == '' or whose == no_visitor)
end

local function take(visitor, n)
  set_visitor(n, visitor)
  -- Given out after the newest state that any node knew, so no visitor was admitted with it. The
  -- visitors before it are set waiting as well until away_seconds are over, so that no fan's count
  -- of those ahead rises when they return.
  if n > m.numbers then
    set_alive(alive, m.numbers + 1, n)
    m.head, m.waiting = math.min(m.head, math.floor(m.numbers / 8)), m.waiting + n - m.numbers
    if m.return_by == 0 then m.return_by, m.return_chunk = now + m.away_ms, math.floor(m.numbers / CHUNK) end
    m.numbers, m.known = n, n
  end
end

for i = 3, #ARGV, 3 do
  local visitor, n, is_connected = ARGV[i], tonumber(ARGV[i + 1]), ARGV[i + 2] == '1'
  if may_take(visitor, n) then take(visitor, n) end
  local place, state, number = place_of(call('HGET', visitors, visitor), #ARGV <= 5)
  if number and is_connected then
    hold(number, visitor, index, state == WAITING)
  elseif number and state == WAITING and owner(number) == 0 then
    set_deadline(number, now + m.away_ms)
  end
  answers[#answers + 1] = place or ''
end
save('waiting', 'connected', 'head', 'numbers', 'known', 'return_by', 'return_chunk')
return { 'ok', 'units', answers }

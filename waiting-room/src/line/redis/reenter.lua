-- Restores the places that passes prove.
-- KEYS[1] prefix of the event's keys
--   waiting  written
--   alive    written
--   past     written
--   ended    written
-- and those of head.lua, save.lua, numbers.lua, places.lua, nodes.lua, hold.lua
-- ARGV[1] now in ms (0: the store's clock)
-- ARGV[2] id of this node
-- ARGV[3…] visitor, number, 1 if that is one of before the draw, 1 if this node holds their socket, and
--   the creation of the event that it is of, in turn, at most 50 of each
-- Returns units: for each a place, or '' if the number now belongs to another visitor, or was one of an
-- event that was deleted. {'busy'} during a draw and during a recovery, when more may be reported.
if m.draw == 2 or m.settle_until > 0 then return { 'busy' } end
local answers, index = {}, node_index()

local function take(visitor, n)
  local holder = '#' .. n
  local slot = slot_of(holder)
  call('HDEL', keys.ended, visitor)
  if slot then
    drop_slot(holder, slot)
    m[NAMES[slot.state]] = m[NAMES[slot.state]] + 1
    call('HSET', keys.past, n, visitor)
    put_slot(visitor, slot)
    decide_admitted(n, visitor, nil, slot.admitted_at, slot.claim_by)
    return
  end
  -- Given out after the newest state that any node knew, so no visitor was admitted with it. The
  -- visitors before it are set waiting as well until away_seconds are over, so that no fan's count
  -- of those ahead rises when they return.
  if n > m.numbers then
    set_alive(keys.alive, m.numbers + 1, n)
    m.head, m.waiting = math.min(m.head, math.floor(m.numbers / 8)), m.waiting + n - m.numbers
    if m.return_by == 0 then m.return_by, m.return_chunk = now + m.away_ms, math.floor(m.numbers / CHUNK) end
    m.numbers, m.known = n, n
  end
  if is_waiting(n) then
    call('ZADD', keys.waiting, n, visitor)
  else
    record_end(n, visitor, end_of(n) or MISSED)
  end
end

-- Ends place n of a visitor who was removed while the store had only an older place of theirs.
local function eject(visitor, n)
  local ended = settle(visitor, call('ZSCORE', keys.waiting, visitor), EJECTED, 't_left')
  if ended == 0 then record_end(n, visitor, EJECTED) end
end

for i = 3, #ARGV, 5 do
  local visitor, n, is_connected = ARGV[i], tonumber(ARGV[i + 1]), ARGV[i + 3] == '1'
  -- Sent before the draw, it says nothing of the number after it; nor the other way round.
  if (ARGV[i + 2] == '1') ~= (m.draw == 1) then n = 0 end
  -- Nor does what a node knows of an event that was deleted meanwhile.
  local is_this_event = ARGV[i + 4] == m.creation
  local place, state, number = place_of(look_up({ visitor }), 1, #ARGV <= 7)
  if is_this_event and n > 0 and may_take(n, state, number) and not visitor_of(n) then
    take(visitor, n)
    if state == EJECTED then eject(visitor, n) end
    place, state, number = place_of(look_up({ visitor }), 1, #ARGV <= 7)
  end
  if is_this_event and number and number > 0 then
    if is_connected then
      hold(number, visitor, index, state == WAITING)
    elseif state == WAITING then
      set_deadline(number, now + m.away_ms)
    end
  end
  answers[#answers + 1] = place or ''
end
save()
return { 'ok', 'units', answers }

-- Places: how one is found, reported and ended; slots; room for more of them; the phase.
--   waiting   read and written
--   alive     written
--   admitted  written
--   slots     read and written
--   ended     read and written
--   past      read and written
--   codes     written
--   log       written

-- Notes that the slot of number n began or changed, or that its place ended, for nodes to learn.
local function note(n)
  call('RPUSH', keys.log, n)
  m.changes = m.changes + 1
end

-- Reads a slot as it is stored or reported: the number, the state, and three times in ms.
local function slot_from(text)
  if not text then return nil end
  local number, state, admitted_at, claim_by, expires_at = string.match(text, '(%d+) (%a+) (%d+) (%d+) (%d+)')
  return {
    number = tonumber(number),
    state = state == 'admitted' and ADMITTED or SHOPPING,
    admitted_at = tonumber(admitted_at),
    claim_by = tonumber(claim_by),
    expires_at = tonumber(expires_at),
  }
end

-- Returns the slot of a holder; nil without one.
local function slot_of(holder)
  return slot_from(call('HGET', keys.slots, holder))
end

-- Writes a slot, new or claimed, but not the counters.
local function put_slot(holder, slot)
  local times = slot.admitted_at .. ' ' .. slot.claim_by .. ' ' .. slot.expires_at
  call('HSET', keys.slots, holder, slot.number .. ' ' .. NAMES[slot.state] .. ' ' .. times)
  call('ZADD', keys.admitted, slot.state == ADMITTED and slot.claim_by or slot.expires_at, holder)
  note(slot.number)
end

local function drop_slot(holder, slot)
  call('HDEL', keys.slots, holder)
  call('ZREM', keys.admitted, holder)
  m[NAMES[slot.state]] = m[NAMES[slot.state]] - 1
end

-- Returns how many more visitors may be admitted.
local function room()
  local seats = m.max_active
  -- Also a report that the clock, set back since, has yet to reach says nothing.
  if m.seats_at > 0 then seats = math.abs(clock - m.seats_at) > 30000 and 0 or math.min(seats, m.available) end
  return math.max(0, seats - m.admitted - m.shopping)
end

-- Returns the fields of a hash; at the rush for places, when it is empty, without looking for each.
local function fields_of(key, names)
  return call('EXISTS', key) == 1 and call('HMGET', key, unpack(names)) or {}
end

-- Returns what is stored of visitors, for place_of.
local function look_up(visitors)
  return {
    visitors = visitors,
    scores = call('ZMSCORE', keys.waiting, unpack(visitors)),
    slots = fields_of(keys.slots, visitors),
    ended = fields_of(keys.ended, visitors),
  }
end

-- Marks a place whose number is only the order of arrival, before the draw.
local function provisional(place)
  if m.draw == 1 or m.draw == 2 then place[#place + 1], place[#place + 2] = 'is_provisional', 1 end
  return place
end

-- Returns a place with a slot, whose times are told by the clock.
local function place_inside(slot)
  return { 'number', slot.number, 'state', slot.state, 'admitted_at', by_clock(slot.admitted_at), 'claim_by',
    by_clock(slot.claim_by), 'expires_at', by_clock(slot.expires_at) }
end

-- Returns the place of the visitor who was looked up as the i-th: as a reply has it, a list of names
-- and values in turn, its state, and its number; nothing without a place. A list rather than a table
-- by names, because polls and opened sockets make one for each visitor. It has the times of the slot
-- in ms if there is one, and for a waiting visitor `ahead` if `is_exact`; if not, the node counts in
-- its own view.
local function place_of(found, i, is_exact)
  local n, place = tonumber(found.scores[i] or nil), nil
  if n then
    place = is_exact and { 'number', n, 'state', WAITING, 'ahead', ahead(n) } or { 'number', n, 'state', WAITING }
  elseif found.slots[i] then
    place = place_inside(slot_from(found.slots[i]))
    n = place[2]
  elseif found.ended[i] then
    local number, name, undrawn = string.match(found.ended[i], '(%d+) (%a+)(.*)')
    local state = FINISHED
    while NAMES[state] ~= name do state = state + 1 end
    -- A place that ended before a draw has no number after it, which may be another visitor's now. How
    -- one with a number ended, nodes may have known better.
    n = tonumber(number)
    if undrawn ~= '' and call('HGET', keys.past, n) ~= found.visitors[i] then n = 0 end
    if n == 0 then return { 'number', 0, 'state', state }, state, 0 end
    state = end_of(n) or state
    place = { 'number', n, 'state', state }
  else
    return nil
  end
  return provisional(place), place[4], n
end

-- Returns whether a visitor of whom the store has a place in this state with this number, or none, may
-- take number n if it is free: only an older place that is over gives way. A visitor who joined again
-- has several numbers, of which the newest counts.
local function may_take(n, state, number)
  return (not state or state >= FINISHED) and n > (number or 0)
end

-- Fixes who takes part in the draw: those in line when the sale opens, also if it waits for its
-- beacon. `draw_last` is the number after the last of them.
local function fix_entries(stage)
  if m.draw ~= 1 then return end
  if stage < 2 then m.draw_last = 0 elseif m.draw_last == 0 then m.draw_last = m.numbers + 1 end
end

-- Takes number n, and its visitor if known, from those who wait.
local function stop_waiting(n, visitor)
  if call('SETBIT', keys.alive, n - 1, 0) == 1 then
    m.waiting = m.waiting - 1
    if owner(n) ~= 0 then m.connected = m.connected - 1 end
  end
  if visitor then call('ZREM', keys.waiting, visitor) end
end

-- Records how the place with number n ended. The holder is nil or #n if its visitor is not known.
local function record_end(n, holder, state)
  call('SETRANGE', keys.codes, n - 1, string.char(2 ^ (state - FINISHED)))
  if holder and string.sub(holder, 1, 1) ~= '#' then
    call('HSET', keys.past, n, holder)
    call('HSET', keys.ended, holder, n .. ' ' .. NAMES[state] .. (m.draw == 1 and ' undrawn' or ''))
  end
  note(n)
end

-- Ends the place of a holder that is in use; returns its number, or 0 without one.
local function settle(holder, score, state, total)
  local n = tonumber(score or nil)
  if n then
    stop_waiting(n, holder)
  else
    local slot = slot_of(holder)
    if not slot then return 0 end
    n = slot.number
    drop_slot(holder, slot)
    decide_end(n, holder, slot.state == SHOPPING, state)
  end
  record_end(n, holder, state)
  m[total] = m[total] + 1
  return n
end

-- Returns the phase: 0 scheduled, 1 prequeue, 2 open, 3 paused, 4 sold out, 5 closed.
local function phase()
  if m.closes_at > 0 and m.closes_at <= clock then return 5 end
  if m.sale_at <= clock then
    if m.seats_at > 0 and m.capacity > 0 and m.available == 0 and m.held == 0 then return 4 end
    return m.paused == 1 and 3 or 2
  end
  return m.line_at > 0 and m.line_at <= clock and 1 or 0
end

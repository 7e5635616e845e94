-- Claims the slots of visitors who arrive at the checkout: from now on they expire with the
-- session, or later if it was extended. The caller checked their tokens.
-- KEYS[1] prefix of the event's keys
--   ended  written
--   past   written
-- and those of head.lua, save.lua, numbers.lua, places.lua
-- ARGV[1] now in ms (0: the store's clock)
-- ARGV[2] id of this node
-- ARGV[3…] visitor, number and time in ms until which the slot is to last at least (0: no such time) in
--   turn, at most 50 of each
-- Returns units: for each the place with its slot, or '' if the slot is gone. {'busy'} during a draw
-- and during a recovery.
if m.draw == 2 or m.settle_until > 0 then return { 'busy' } end

-- Returns whether number n waits and may be the visitor's: the store has lost that it was admitted,
-- and the token proves it.
local function was_admitted(visitor, n)
  if n < 1 or m.known < n or not is_waiting(n) or (visitor_of(n) or visitor) ~= visitor then return false end
  local _, state, number = place_of(look_up({ visitor }), 1, false)
  return not state or state == WAITING and number == n or state >= FINISHED and state ~= EJECTED and number < n
end

local function claim(visitor, n, ends_at)
  -- A draw that the store has lost is held again, and gives other numbers.
  if m.draw == 1 then return '' end
  local slot = slot_of(visitor)
  if not slot then
    if room() < 1 or not was_admitted(visitor, n) then return '' end
    stop_waiting(n, visitor)
    call('HDEL', keys.ended, visitor)
    call('HSET', keys.past, n, visitor)
    slot = { number = n, state = SHOPPING, admitted_at = now, claim_by = now, expires_at = now + m.session_ms }
    m.shopping = m.shopping + 1
    put_slot(visitor, slot)
    decide_admitted(n, visitor, nil, now, now)
  elseif slot.number ~= n then
    return ''
  elseif slot.state == ADMITTED then
    if slot.claim_by <= now then return '' end
    m.admitted, m.shopping = m.admitted - 1, m.shopping + 1
    slot.state = SHOPPING
    put_slot(visitor, slot)
  end
  if slot.expires_at <= now then return '' end
  if slot.expires_at < ends_at - unheard then
    slot.expires_at = ends_at - unheard
    put_slot(visitor, slot)
  end
  return place_inside(slot)
end

local answers = {}
for i = 3, #ARGV, 3 do
  answers[#answers + 1] = claim(ARGV[i], tonumber(ARGV[i + 1]), tonumber(ARGV[i + 2]))
end
save()
return { 'ok', 'units', answers }

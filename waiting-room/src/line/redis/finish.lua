-- Ends the slots of visitors who are done shopping; others are left alone. The caller checked their
-- tokens.
-- KEYS[1] prefix of the event's keys
--   waiting  read
-- and those of head.lua, save.lua, numbers.lua, places.lua
-- ARGV[1] now in ms (0: the store's clock)
-- ARGV[2] id of this node
-- ARGV[3…] visitor and number in turn, at most 50 of each
-- Returns units: for each the number if its place ended, now or at an attempt before, else 0. {'busy'} during a draw and during a
-- recovery.
if m.draw == 2 or m.settle_until > 0 then return { 'busy' } end

-- Ends the place with number n if its visitor is inside, or was when the store lost that; returns n,
-- else 0. That it is theirs the token proves.
local function finish(visitor, n)
  -- A draw that the store has lost is held again, and gives other numbers.
  if m.draw == 1 then return 0 end
  local slot, score = slot_of(visitor), tonumber(call('ZSCORE', keys.waiting, visitor) or nil)
  if slot and slot.number == n or score == n and n <= m.known then
    -- The store has lost that it was admitted.
    if score then decide_end(n, visitor, true, FINISHED) end
    return settle(visitor, score, FINISHED, 't_finished')
  end
  -- The answer may have been lost, and nodes have to know of the end if the store loses it.
  if n > 0 and end_of(n) == FINISHED then return n end
  if n < 1 or n > m.known or visitor_of(n) then return 0 end
  -- The store has lost whose number it is.
  local held = slot_of('#' .. n)
  if held then
    drop_slot('#' .. n, held)
    decide_admitted(n, visitor, nil, held.admitted_at, held.claim_by)
  elseif is_waiting(n) then
    stop_waiting(n)
  else
    return 0
  end
  local _, state, number = place_of(look_up({ visitor }), 1, false)
  local is_newest = not state or state >= FINISHED and state ~= EJECTED and number < n
  record_end(n, is_newest and visitor or nil, FINISHED)
  decide_end(n, visitor, true, FINISHED)
  m.t_finished = m.t_finished + 1
  return n
end

local answers = {}
for i = 3, #ARGV, 2 do answers[#answers + 1] = finish(ARGV[i], tonumber(ARGV[i + 1])) end
save()
return { 'ok', 'units', answers }

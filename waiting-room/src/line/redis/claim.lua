-- Claims the slots of visitors who arrive at the checkout: from now on they expire with the
-- session.
-- KEYS[1] prefix of the event's keys
-- ARGV[1] now in ms (0: the store's clock)
-- ARGV[2] id of this node
-- ARGV[3…] visitor (16 bytes) and number in turn, at most 125 of each
-- Returns units: for each when the slot expires in ms, or 0 if it is gone. {'busy'} during a draw.
if m.draw == 2 then return { 'busy' } end
local answers, no_visitor = {}, string.rep('\0', 16)
local function claim(visitor, n)
  local record_, slot = record(n), slot_of(n)
  local whose = string.sub(record_, 1, 16)
  if whose ~= visitor and whose ~= no_visitor and whose ~= '' then return 0 end
  if slot then
    if whose ~= visitor then return 0 end
    if slot.kind == SHOPPING then return slot.expires_at > now and slot.expires_at or 0 end
    if slot.claim_by <= now then return 0 end
    m.admitted, m.shopping = m.admitted - 1, m.shopping + 1
  else
    -- Admitted in an earlier epoch, whose data the store has lost: the caller checked the token.
    local is_over = call('GETBIT', alive, n - 1) == 1 or (string.byte(record_, RECORD) or 0) ~= 0
    if is_over or m.ghosts <= 0 or n > m.known then return 0 end
    local kept = call('HGET', visitors, visitor)
    local _, state = place_of(kept, false)
    if state == EJECTED then return 0 end
    slot = { admitted_at = now, claim_by = now, expires_at = now + m.session_ms }
    -- The visitor may have joined again meanwhile, and must not hold two places.
    kept = tonumber(kept or nil) or 0
    if kept > 0 and kept ~= n then settle(kept, LEFT, 't_left') end
    set_visitor(n, visitor)
    m.ghosts, m.shopping = m.ghosts - 1, m.shopping + 1
  end
  local times = slot.admitted_at .. ' ' .. slot.claim_by .. ' ' .. slot.expires_at
  call('HSET', slots, n, times .. ' ' .. SHOPPING)
  call('ZADD', lapses, slot.expires_at, n)
  return slot.expires_at
end
for i = 3, #ARGV, 2 do
  local n = tonumber(ARGV[i + 1])
  answers[#answers + 1] = n > 0 and n <= m.numbers and claim(ARGV[i], n) or 0
end
save_counts()
return { 'ok', 'units', answers }

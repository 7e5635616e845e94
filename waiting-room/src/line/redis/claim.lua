-- Visitors arrive at the checkout: their slots are theirs until they expire. ARGV[3…] visitor, number, in turn, at most
-- 125 of each. Returns {'ok'}, then for each until when (ms), 0: the slot is gone.
if m.draw == 2 then return { 'busy' } end
local answers, nobody = { 'ok' }, string.rep('\0', 16)
local function claim(visitor, n)
  local record_, slot = record(n), slot_of(n)
  local whose = string.sub(record_, 1, 16)
  if whose ~= visitor and whose ~= nobody and whose ~= '' then return 0 end
  if slot then
    if whose ~= visitor then return 0 end
    if slot[4] == SHOPPING then return slot[3] > now and slot[3] or 0 end
    if slot[2] <= now then return 0 end
    m.admitted, m.shopping = m.admitted - 1, m.shopping + 1
  else
    -- Admitted in a life of the line that the store forgot: the caller checked the token, so the turn was theirs.
    local is_over = call('GETBIT', alive, n - 1) == 1 or (string.byte(record_, RECORD) or 0) ~= 0
    if is_over or m.ghosts <= 0 or n > m.known then return 0 end
    local kept = call('HGET', visitors, visitor)
    if kept and place_of(kept, false)[2] == EJECTED then return 0 end
    slot = { now, now, now + m.session_ms }
    -- The visitor may have joined again meanwhile, and must not hold two places.
    kept = tonumber(kept or nil) or 0
    if kept > 0 and kept ~= n then settle(kept, LEFT, 't_left') end
    set_visitor(n, visitor)
    m.ghosts, m.shopping = m.ghosts - 1, m.shopping + 1
  end
  call('HSET', slots, n, slot[1] .. ' ' .. slot[2] .. ' ' .. slot[3] .. ' ' .. SHOPPING)
  call('ZADD', lapses, slot[3], n)
  return slot[3]
end
for i = 3, #ARGV, 2 do
  local n = tonumber(ARGV[i + 1])
  answers[#answers + 1] = n > 0 and n <= m.numbers and claim(ARGV[i], n) or 0
end
save_counts()
return answers

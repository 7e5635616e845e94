-- Shared by tick.lua: the end of a recovery.
--   told      read
--   cleared   read and written
--   waiting   read and written
--   admitted  read
--   log       written

-- Brings visitors in line with what nodes reported of their numbers, a bounded part of them. Returns
-- 1 while there is more.
local function sweep()
  for _ = 1, STEP do
    local bit_ = call('BITPOS', keys.cleared, 1)
    if bit_ < 0 then break end
    call('SETBIT', keys.cleared, bit_, 0)
    local n = bit_ + 1
    local visitor = call('ZRANGEBYSCORE', keys.waiting, n, n)[1]
    if visitor then
      call('ZREM', keys.waiting, visitor)
      if not slot_of(visitor) then record_end(n, visitor, end_of(n) or MISSED) end
    end
  end
  if call('BITPOS', keys.cleared, 1) >= 0 then return 1 end
  local holders = call('ZRANGE', keys.admitted, m.swept, m.swept + STEP - 1)
  for _, holder in ipairs(holders) do
    local slot = slot_of(holder)
    local state = end_of(slot.number)
    if state then
      drop_slot(holder, slot)
      record_end(slot.number, holder, state)
    else
      m.swept = m.swept + 1
    end
  end
  return #holders == STEP and 1 or 0
end

-- Ends the recovery once every node has reported or the time is over, but not before nodes that no
-- report names have had time to come. Returns 1 while there is more to do.
local function end_recovery()
  local is_complete = call('SCARD', keys.told) >= m.tellers and now >= m.settle_from
  if now < m.settle_until and not is_complete then return 0 end
  if sweep() == 1 then return 1 end
  call('DEL', keys.cleared, keys.log)
  -- Nodes that read changes before read everything once more.
  m.changes = m.changes + 1
  m.settle_until, m.swept, m.revision = 0, 0, m.revision + 1
  return 0
end

-- Takes the slots that a node knows of, after recover.lua.
-- KEYS[1] prefix of the event's keys
--   meta     read
--   waiting  read
--   ended    written
--   past     written
--   told     written
-- and those of head.lua, save.lua, numbers.lua, places.lua
-- ARGV[1] now in ms (0: the store's clock)
-- ARGV[2] id of this node
-- ARGV[3] seed of the draw as the node knows it
-- ARGV[4] its outcome (JSON), empty before it
-- ARGV[5] how many nodes it knows of, if this ends its report, else 0
-- ARGV[6…] holders and their slots in turn, at most 50 of each
-- Returns nothing but {'ok'}; {'over'} if the recovery is over.
if m.settle_until == 0 then return { 'over' } end

local function restore(holder, slot)
  local n = slot.number
  local unknown, whose, kept = '#' .. n, visitor_of(n) or holder, slot_of(holder)
  local score = tonumber(call('ZSCORE', keys.waiting, holder) or nil)
  local is_newer = kept and (kept.number > n or kept.number == n and kept.state == SHOPPING)
  -- Another node, or the store itself, knows more: that it is over, that the visitor joined again, or
  -- who has the number.
  local is_kept = is_newer or score and score > n
  if end_of(n) or whose ~= holder then return end
  if is_kept then
    -- An extension, which not every node knows of yet.
    if kept and kept.number == n and slot.state == SHOPPING and slot.expires_at > kept.expires_at then
      kept.expires_at = slot.expires_at
      put_slot(holder, kept)
    end
    return
  end
  if kept then drop_slot(holder, kept) end
  if holder ~= unknown then
    local held = slot_of(unknown)
    if held then drop_slot(unknown, held) end
    if score then stop_waiting(score, holder) end
    call('HDEL', keys.ended, holder)
    call('HSET', keys.past, n, holder)
  end
  stop_waiting(n)
  m[NAMES[slot.state]] = m[NAMES[slot.state]] + 1
  put_slot(holder, slot)
end

local draw = call('HMGET', keys.meta, 'seed', 'drawn')
if draw[1] == ARGV[3] and (draw[2] or '') == ARGV[4] then
  for i = 6, #ARGV, 2 do restore(ARGV[i], slot_from(ARGV[i + 1])) end
end
if ARGV[5] ~= '0' then
  call('SADD', keys.told, ARGV[2])
  m.tellers = math.max(m.tellers, ARGV[5])
end
save()
return { 'ok' }

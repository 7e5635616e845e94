-- Shared by tick.lua: what changed of slots and of places that are over, for nodes to know.
--   log    read
--   slots  read
--   past   read

-- Adds the changes after the first `from` to a reply, at most 250 of them; or that they are no longer
-- kept.
local function add_changes(add, from)
  local missing = m.changes - from
  if from < 0 or missing < 0 or missing > call('LLEN', keys.log) then
    add('is_behind', 1)
    return add('changes', m.changes)
  end
  local changed = {}
  local numbers = missing > 0 and call('LRANGE', keys.log, -missing, math.min(-1, 249 - missing)) or {}
  for _, n in ipairs(numbers) do
    local holder = call('HGET', keys.past, n) or '#' .. n
    local slot = slot_of(holder)
    changed[#changed + 1] = tonumber(n)
    if slot and slot.number == tonumber(n) then
      changed[#changed + 1] = holder .. ' ' .. call('HGET', keys.slots, holder)
    else
      changed[#changed + 1] = NAMES[end_of(n) or MISSED]
    end
  end
  add('changes', from + #numbers)
  add('changed', changed)
end

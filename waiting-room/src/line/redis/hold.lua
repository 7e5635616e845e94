-- Shared by back.lua and reenter.lua.
--   in:…    written

-- Records that this node holds the socket of number n.
local function hold(n, visitor, index, waits)
  local before = owner(n)
  set_owner(n, index)
  if before ~= 0 and before ~= index then
    call('RPUSH', inbox(before), visitor)
    call('LTRIM', inbox(before), -20000, -1)
  end
  if waits and index > 0 then
    if before == 0 then m.connected = m.connected + 1 end
    set_deadline(n, 0)
  end
end

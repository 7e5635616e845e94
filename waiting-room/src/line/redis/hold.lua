-- Shared by back.lua and reenter.lua: records that this node holds the socket of number n.
local function hold(n, visitor, index, is_waiting)
  local before = owner(n)
  local key, i = at('o', n)
  call('SETRANGE', key, i, string.char(index))
  if before ~= 0 and before ~= index then
    call('RPUSH', inbox(before), visitor)
    call('LTRIM', inbox(before), -20000, -1)
  end
  if is_waiting and index > 0 then
    if before == 0 then m.connected = m.connected + 1 end
    set_deadline(n, 0)
  end
end

-- Sets the bits of a range of numbers with a few calls, however long the range is.
local function set_alive(alive, first, last)
  local n = first
  while n <= last and (n - 1) % 8 ~= 0 do
    redis.call('SETBIT', alive, n - 1, 1)
    n = n + 1
  end
  local bytes = math.floor((last - n + 1) / 8)
  if bytes > 0 then redis.call('SETRANGE', alive, (n - 1) / 8, string.rep('\255', bytes)) end
  for rest = n + bytes * 8, last do redis.call('SETBIT', alive, rest - 1, 1) end
end

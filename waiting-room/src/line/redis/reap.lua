-- Shared by tick.lua: nodes that died. Handles a bounded part and returns 1 while there is more.
-- Fans of a silent node count as away since its last sign of life.
local function reap()
  local silent = call('ZRANGEBYSCORE', beats, '-inf', now - NODE_MS, 'WITHSCORES', 'LIMIT', 0, 1)
  if not silent[1] then return 0 end
  local index = tonumber(call('HGET', nodes, silent[1]) or nil) or 0
  local mark, found = string.char(index), 0
  local chunk = tonumber(call('HGET', reaping, silent[1]) or nil) or 0
  local chunks = index > 0 and math.ceil(m.numbers / CHUNK) or 0
  for _ = 1, 200 do
    if chunk >= chunks or found > 100 then break end
    local key = array_of(generation, 'o', chunk)
    local owners = call('GET', key) or ''
    local i = string.find(owners, mark, 1, true)
    while i do
      local n = chunk * CHUNK + i
      call('SETRANGE', key, i - 1, '\0')
      if call('GETBIT', alive, n - 1) == 1 then
        m.connected = m.connected - 1
        set_deadline(n, tonumber(silent[2]) + m.away_ms)
      end
      found, i = found + 1, string.find(owners, mark, i + 1, true)
    end
    chunk = chunk + 1
  end
  if chunk < chunks then
    call('HSET', reaping, silent[1], chunk)
    return 1
  end
  call('ZREM', beats, silent[1])
  call('HDEL', nodes, silent[1])
  call('HDEL', reaping, silent[1])
  call('DEL', inbox(index))
  return 1
end

-- Shared by tick.lua: nodes that died. Handles a bounded part and returns 1 while there is more.
-- Fans of a silent node count as away since its last sign of life, or since they polled another one. A node that comes back in between
-- gets another index.
--   beats    read and written
--   nodes    read and written
--   reaping  read and written
--   owners   read and written
--   in:…     written

local function reap()
  local silent = call('ZRANGEBYSCORE', keys.beats, '-inf', now - NODE_MS, 'WITHSCORES', 'LIMIT', 0, 1)
  if silent[1] then
    local index = string.match(call('HGET', keys.nodes, silent[1]) or '', '%d+')
    call('ZREM', keys.beats, silent[1])
    call('HDEL', keys.nodes, silent[1])
    if index then
      call('HSET', keys.reaping, index, '0 ' .. silent[2])
      call('DEL', inbox(index))
    end
    return 1
  end
  local index, part = unpack(call('HGETALL', keys.reaping))
  if not index then return 0 end
  local mark, found = string.char(index), 0
  local from, beat = string.match(part, '(%d+) (%d+)')
  local owners = call('GETRANGE', keys.owners, from, from + 65535)
  local i = string.find(owners, mark, 1, true)
  while i and found < 100 do
    local n = from + i
    call('SETRANGE', keys.owners, n - 1, '\0')
    if is_waiting(n) then
      m.connected = m.connected - 1
      set_deadline(n, math.max(deadline_of(n), beat + m.away_ms))
    end
    found, i = found + 1, string.find(owners, mark, i + 1, true)
  end
  if i then
    call('HSET', keys.reaping, index, from + i - 1 .. ' ' .. beat)
  elseif #owners == 65536 then
    call('HSET', keys.reaping, index, from + 65536 .. ' ' .. beat)
  else
    call('HDEL', keys.reaping, index)
  end
  return 1
end

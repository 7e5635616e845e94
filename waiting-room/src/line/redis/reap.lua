-- Shared by tick.lua: nodes that died. Handles a bounded part and returns 1 while there is more.
-- Fans of a silent node count as away since its last sign of life, or since they polled another one. A node that comes back in between
-- gets another index.
--   beats    read and written
--   nodes    read and written
--   reaping  read and written
--   owners   read
--   in:…     written

-- Returns the offset of the first number from `offset` on that has this mark in a part of the owners.
local function find_mark(owners, mark, offset)
  local at = string.find(owners, mark, offset * 2 + 1, true)
  while at and at % 2 == 0 do at = string.find(owners, mark, at + 1, true) end
  return at and (at - 1) / 2
end

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
  local mark, found = struct.pack('>I2', index), 0
  local from, beat = string.match(part, '(%d+) (%d+)')
  local owners = call('GETRANGE', keys.owners, from * 2, from * 2 + 65535)
  local offset = find_mark(owners, mark, 0)
  while offset and found < STEP do
    local n = from + offset + 1
    set_owner(n, 0)
    if is_waiting(n) then
      m.connected = m.connected - 1
      set_deadline(n, math.max(deadline_of(n), beat + m.away_ms))
    end
    found, offset = found + 1, find_mark(owners, mark, offset + 1)
  end
  if offset then
    call('HSET', keys.reaping, index, from + offset .. ' ' .. beat)
  elseif #owners == 65536 then
    call('HSET', keys.reaping, index, from + 32768 .. ' ' .. beat)
  else
    call('HDEL', keys.reaping, index)
    call('DEL', inbox(index))
  end
  return 1
end

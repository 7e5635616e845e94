-- Data of each number: the node with the socket, the deadline, how the place ended.
--   alive      read
--   owners     read and written
--   deadlines  read and written
--   aways      written
--   codes      read
--   waiting    read
--   past       read

-- Returns the index of the node that holds the socket of number n; 0 if none does.
local function owner(n)
  local index = call('GETRANGE', keys.owners, (n - 1) * 2, n * 2 - 1)
  return #index == 2 and struct.unpack('>I2', index) or 0
end

local function set_owner(n, index)
  call('SETRANGE', keys.owners, (n - 1) * 2, struct.pack('>I2', index))
end

local function set_deadline(n, deadline)
  call('SETRANGE', keys.deadlines, (n - 1) * 6, struct.pack('>I6', deadline))
  if deadline > 0 then call('ZADD', keys.aways, 'LT', deadline, math.floor((n - 1) / CHUNK)) end
end

-- Returns the deadline of number n; 0 without one.
local function deadline_of(n)
  local bytes = call('GETRANGE', keys.deadlines, (n - 1) * 6, n * 6 - 1)
  return #bytes == 6 and struct.unpack('>I6', bytes) or 0
end

-- Returns how the place with number n ended; nil if it did not. Each end has a bit, so that what
-- several nodes report can be combined; the last one counts.
local function end_of(n)
  local code = string.byte(call('GETRANGE', keys.codes, n - 1, n - 1)) or 0
  for state = EJECTED, FINISHED, -1 do
    if code >= 2 ^ (state - FINISHED) then return state end
  end
end

-- Returns the visitor of number n; nil if the store has lost it and the fan has not come back.
local function visitor_of(n)
  return call('ZRANGEBYSCORE', keys.waiting, n, n)[1] or call('HGET', keys.past, n) or nil
end

local function is_waiting(n)
  return call('GETBIT', keys.alive, n - 1) == 1
end

local function ahead(n)
  local byte, count = math.floor((n - 1) / 8), 0
  if byte > m.head then count = call('BITCOUNT', keys.alive, m.head, byte - 1) end
  local rest = string.byte(call('GETRANGE', keys.alive, byte, byte)) or 0
  for bit_ = 0, (n - 1) % 8 - 1 do
    if bit.band(rest, bit.rshift(128, bit_)) ~= 0 then count = count + 1 end
  end
  return count
end

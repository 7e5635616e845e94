-- Arrays of 512 numbers per key: 'p' holds records (visitor, joining time, final state), 'o' the
-- index of the node that holds the socket, 'd' the deadline after which the place lapses. And the
-- bitmap of waiting visitors.
-- Returns where number n is stored in the arrays of kind `name`: the key, the offset in the array,
-- the chunk.
local function at(name, n)
  local chunk = math.floor((n - 1) / CHUNK)
  return array_of(generation, name, chunk), (n - 1) % CHUNK, chunk
end

local function record(n)
  local key, i = at('p', n)
  return call('GETRANGE', key, i * RECORD, i * RECORD + RECORD - 1)
end

-- Writes the visitor of number n, which the store has lost. The array gets its full length, because
-- a truncated record would be skipped when all records are read.
local function set_visitor(n, visitor)
  local key, i = at('p', n)
  call('SETRANGE', key, i * RECORD, visitor)
  if call('STRLEN', key) < CHUNK * RECORD then call('SETRANGE', key, CHUNK * RECORD - 1, '\0') end
  call('HSET', visitors, visitor, n)
end

local function end_as(n, code)
  local key, i = at('p', n)
  call('SETRANGE', key, i * RECORD + RECORD - 1, string.char(code))
end

-- Returns the index of the node that holds the socket of number n; 0 if none does.
local function owner(n)
  local key, i = at('o', n)
  return string.byte(call('GETRANGE', key, i, i)) or 0
end

local function set_deadline(n, deadline)
  local key, i, chunk = at('d', n)
  call('SETRANGE', key, i * 6, struct.pack('>I6', deadline))
  if deadline > 0 then call('ZADD', aways, 'LT', deadline, chunk) end
end

local function ahead(n)
  local byte, count = math.floor((n - 1) / 8), 0
  if byte > m.head then count = call('BITCOUNT', alive, m.head, byte - 1) end
  local rest = string.byte(call('GETRANGE', alive, byte, byte)) or 0
  for bit_ = 0, (n - 1) % 8 - 1 do
    if bit.band(rest, bit.rshift(128, bit_)) ~= 0 then count = count + 1 end
  end
  return count
end

-- Returns the slot of number n: its times in ms, and its kind, ADMITTED or SHOPPING; nil without
-- one.
local function slot_of(n)
  local slot = call('HGET', slots, n)
  if not slot then return nil end
  local admitted_at, claim_by, expires_at, kind = string.match(slot, '(%d+) (%d+) (%d+) (%d)')
  return {
    admitted_at = tonumber(admitted_at),
    claim_by = tonumber(claim_by),
    expires_at = tonumber(expires_at),
    kind = tonumber(kind),
  }
end

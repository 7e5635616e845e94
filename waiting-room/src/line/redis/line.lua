-- What every script begins with: the line of one event as it stands, and the steps that several scripts share. One reply
-- of {'gone'} means that the store knows nothing of the event, {'lost'} that another server answers than before.
-- KEYS[1] fairline:{event}, before all keys. ARGV[1] now in ms, 0: by the store's clock. ARGV[2] this node's id.
local call, base = redis.call, KEYS[1]
local now = tonumber(ARGV[1])
if now == 0 then
  local time = call('TIME')
  now = time[1] * 1000 + math.floor(time[2] / 1000)
end
local FIELDS = { 'epoch', 'gen', 'step', 'revision', 'numbers', 'known', 'waiting', 'admitted', 'shopping', 'connected',
  'head', 'last_batch', 'credit', 'owed', 'ghosts', 'ghosts_until', 'settle_until', 'return_by', 'return_chunk', 'phase',
  't_joined', 't_admitted', 't_finished', 't_missed', 't_left', 'capacity', 'available', 'held', 'seats_at', 'rate',
  'batch_ms', 'max_active', 'claim_ms', 'session_ms', 'away_ms', 'line_at', 'sale_at', 'closes_at', 'paused', 'draw',
  'needs_beacon', 'has_beacon' }
local meta, m = base .. ':meta', {}
local run = string.match(call('INFO', 'server'), 'run_id:(%x+)')
local got = call('HMGET', meta, 'run', unpack(FIELDS))
if not got[2] then return { 'gone' } end
for i, field in ipairs(FIELDS) do m[field] = tonumber(got[i + 1]) or 0 end
local is_lost = got[1] ~= run
local gen = base .. ':' .. m.gen
local alive, visitors, slots, lapses, aways =
  gen .. ':alive', gen .. ':visitors', base .. ':slots', base .. ':lapses', gen .. ':aways'
local WAITING, ADMITTED, SHOPPING, FINISHED, MISSED, LEFT, EJECTED = 0, 1, 2, 3, 4, 5, 6
local CHUNK, RECORD, NODE_MS, SETTLE_MS = 512, 23, 10000, 5000

local function save(...)
  local pairs_ = {}
  for _, field in ipairs({ ... }) do
    pairs_[#pairs_ + 1] = field
    pairs_[#pairs_ + 1] = m[field]
  end
  call('HSET', meta, unpack(pairs_))
end

-- Where number n stands in the arrays of kind `name`, which hold 512 numbers a key: the key, the offset in the array.
local function at(name, n)
  local chunk = math.floor((n - 1) / CHUNK)
  return gen .. ':' .. name .. ':' .. chunk, (n - 1) % CHUNK, chunk
end

local function record(n)
  local key, i = at('p', n)
  return call('GETRANGE', key, i * RECORD, i * RECORD + RECORD - 1)
end

local function end_as(n, code)
  local key, i = at('p', n)
  call('SETRANGE', key, i * RECORD + RECORD - 1, string.char(code))
end

-- The index of the node that holds the socket of number n, 0: none does.
local function owner(n)
  local key, i = at('o', n)
  return string.byte(call('GETRANGE', key, i, i)) or 0
end

local function expect_life(n, deadline)
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

local function slot_of(n)
  local slot = call('HGET', slots, n)
  if not slot then return nil end
  local admitted, claim, expires, kind = string.match(slot, '(%d+) (%d+) (%d+) (%d)')
  return { tonumber(admitted), tonumber(claim), tonumber(expires), tonumber(kind) }
end

-- A place as it is answered: number (negative until it is drawn), standing, admitted, claim by, expires (ms), ahead (-1:
-- by the node's own front).
local function spot(n, is_exact)
  local told = (m.draw == 1 or m.draw == 2) and -n or n
  if call('GETBIT', alive, n - 1) == 1 then return { told, WAITING, 0, 0, 0, is_exact and ahead(n) or -1 } end
  local slot = slot_of(n)
  if slot then return { told, slot[4], slot[1], slot[2], slot[3], 0 } end
  local code = string.byte(record(n), RECORD) or 0
  return { told, code == 0 and MISSED or code, 0, 0, 0, 0 }
end

-- The place of a visitor, by what the store kept under their id: a number, or '-' and a standing for who had no number.
local function place_of(kept, is_exact)
  if not kept then return nil end
  local n = tonumber(kept)
  if n > 0 then return spot(n, is_exact), n end
  return { 0, -n, 0, 0, 0, 0 }, nil
end

-- Ends a place that is in use; false when it was over before. The caller saves the counters.
local function settle(n, code, total)
  if call('SETBIT', alive, n - 1, 0) == 1 then
    m.waiting = m.waiting - 1
    if owner(n) ~= 0 then m.connected = m.connected - 1 end
  else
    local slot = slot_of(n)
    if not slot then return false end
    call('HDEL', slots, n)
    call('ZREM', lapses, n)
    local kind = slot[4] == ADMITTED and 'admitted' or 'shopping'
    m[kind] = m[kind] - 1
  end
  end_as(n, code)
  m[total] = m[total] + 1
  return true
end

local function save_counts()
  save('waiting', 'admitted', 'shopping', 'connected', 'ghosts', 't_joined', 't_admitted', 't_finished', 't_missed', 't_left')
end

-- What the line is doing: 0 scheduled, 1 prequeue, 2 open, 3 paused, 4 sold out, 5 closed.
local function phase()
  if m.closes_at > 0 and m.closes_at <= now then return 5 end
  if m.sale_at <= now then
    if m.seats_at > 0 and m.capacity > 0 and m.available == 0 and m.held == 0 then return 4 end
    return m.paused == 1 and 3 or 2
  end
  return m.line_at > 0 and m.line_at <= now and 1 or 0
end

-- This node's index among those that tick this line, 1 to 250; given at the first call.
local function node_index()
  local index = tonumber(call('HGET', base .. ':nodes', ARGV[2]) or nil)
  if index then return index, false end
  local taken = {}
  for _, used in ipairs(call('HVALS', base .. ':nodes')) do taken[tonumber(used)] = true end
  for free = 1, 250 do
    if not taken[free] then
      call('HSET', base .. ':nodes', ARGV[2], free)
      call('ZADD', base .. ':beats', now, ARGV[2])
      return free, true
    end
  end
  return 0, false
end
if is_lost and not IS_TICK then return { 'lost' } end

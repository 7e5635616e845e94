-- Shared by tick.lua: admission of waiting visitors.
--   alive   read
--   joined  read
--   past    written
--   waits   written

-- Returns how many seconds number n has waited; nil if that is not known.
local function waited_by(n)
  local second = call('ZRANGEBYSCORE', keys.joined, n, '+inf', 'LIMIT', 0, 1)[1]
  return tonumber(second) and math.max(0, math.floor(clock / 1000) - second)
end

-- Admits the first `count` waiting numbers; returns how many there were. The bitmap has the order,
-- so that fans who have not come back since a loss of data are not overtaken: their slot is held
-- for them as #number.
local function take(count)
  local waited, taken = {}, 0
  while taken < count do
    local bit_ = call('BITPOS', keys.alive, 1, m.head)
    if bit_ < 0 then break end
    local n = bit_ + 1
    local visitor = visitor_of(n)
    m.head = math.floor(bit_ / 8)
    stop_waiting(n, visitor)
    if visitor then call('HSET', keys.past, n, visitor) end
    local claim_by = now + m.claim_ms
    put_slot(visitor or '#' .. n, { number = n, state = ADMITTED, admitted_at = now, claim_by = claim_by,
      expires_at = claim_by + m.session_ms })
    local seconds = waited_by(n)
    waited[#waited + 1] = seconds
    if visitor then decide_admitted(n, visitor, seconds, now, claim_by) end
    taken = taken + 1
  end
  m.admitted, m.t_admitted = m.admitted + taken, m.t_admitted + taken
  if #waited > 0 then
    call('LPUSH', keys.waits, unpack(waited))
    call('LTRIM', keys.waits, 0, 999)
  end
  return taken
end

-- Admits one batch, in steps. However long the last admission is ago, at most one
-- batch is due. If the rate is below one fan per batch, the span is the time that one fan takes.
-- Returns 1 while part of the batch is left.
local function admit()
  -- The clock was set back: the next batch is due a full span from now.
  m.last_batch = math.min(m.last_batch, clock)
  local since, due, credit = clock - m.last_batch, 0, nil
  if m.rate > 0 and since >= m.batch_ms then
    local span = math.min(since, math.max(m.batch_ms, math.ceil(60000 / m.rate)))
    credit = m.credit % 60000 + m.rate * span
    due = math.floor(credit / 60000)
  elseif m.rate > 0 then
    due = m.owed
  end
  due = math.min(due, room())
  local taken = due > 0 and take(math.min(due, STEP)) or 0
  if taken > 0 and credit then m.last_batch, m.credit = clock, credit % 60000 end
  m.owed = taken == STEP and due - taken or 0
  return m.owed > 0 and 1 or 0
end

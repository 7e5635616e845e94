-- Shared by tick.lua: admission of waiting visitors.
local function room()
  local seats = m.max_active
  if m.seats_at > 0 then
    seats = m.seats_at + 30000 < now and 0 or math.min(seats, m.available)
  end
  local ghosts = now < m.ghosts_until and m.ghosts or 0
  return math.max(0, seats - m.admitted - m.shopping - ghosts)
end

-- Admits the first `count` waiting visitors; returns how many there were.
local function take(count)
  local claim_by = now + m.claim_ms
  local slot = now .. ' ' .. claim_by .. ' ' .. (claim_by + m.session_ms) .. ' ' .. ADMITTED
  local due, given, waited, taken = {}, {}, {}, 0
  while taken < count do
    local bit_ = call('BITPOS', alive, 1, m.head)
    if bit_ < 0 then break end
    local n = bit_ + 1
    m.head = math.floor(bit_ / 8)
    call('SETBIT', alive, bit_, 0)
    if owner(n) ~= 0 then m.connected = m.connected - 1 end
    local joined = string.sub(record(n), 17, 22)
    joined = #joined == 6 and struct.unpack('>I6', joined) or 0
    if joined > 0 then waited[#waited + 1] = math.floor((now - joined) / 1000) end
    due[#due + 1], due[#due + 2] = claim_by, n
    given[#given + 1], given[#given + 2] = n, slot
    taken = taken + 1
  end
  if taken > 0 then
    call('ZADD', lapses, unpack(due))
    call('HSET', slots, unpack(given))
    m.waiting, m.admitted, m.t_admitted = m.waiting - taken, m.admitted + taken, m.t_admitted + taken
  end
  if #waited > 0 then
    call('LPUSH', waits, unpack(waited))
    call('LTRIM', waits, 0, 999)
  end
  return taken
end

-- Admits one batch, in steps of 125 visitors. However long the last admission is ago, at most one
-- batch is due. If the rate is below one fan per batch, the span is the time that one fan takes.
-- Returns 1 while part of the batch is left.
local function admit()
  local since, due, credit = now - m.last_batch, 0, nil
  if m.rate > 0 and since >= m.batch_ms then
    local span = math.min(since, math.max(m.batch_ms, math.ceil(60000 / m.rate)))
    credit = m.credit % 60000 + m.rate * span
    due = math.floor(credit / 60000)
  elseif m.rate > 0 then
    due = m.owed
  end
  due = math.min(due, room())
  local taken = due > 0 and take(math.min(due, 125)) or 0
  if taken > 0 and credit then m.last_batch, m.credit = now, credit % 60000 end
  m.owed = taken == 125 and due - taken or 0
  return m.owed > 0 and 1 or 0
end

-- Shared by tick.lua: places that lapse. Each function handles a bounded part and returns 1 while
-- there is more.
--   admitted   read
--   aways      read and written
--   deadlines  read and written
--   waiting    read

local function lapse_slots()
  local due = call('ZRANGEBYSCORE', keys.admitted, '-inf', now, 'LIMIT', 0, STEP)
  for _, holder in ipairs(due) do settle(holder, nil, MISSED, 't_missed') end
  return #due == STEP and 1 or 0
end

-- Ends the places of waiting visitors without a sign of life: scans the chunk of deadlines whose
-- earliest is due.
local function lapse_away()
  local due = call('ZRANGEBYSCORE', keys.aways, '-inf', now, 'LIMIT', 0, 1)
  if not due[1] then return 0 end
  local from, earliest, left, ended = due[1] * CHUNK, nil, {}, 0
  local deadlines = call('GETRANGE', keys.deadlines, from * 6, (from + CHUNK) * 6 - 1)
  for i = 0, #deadlines / 6 - 1 do
    local deadline, n = struct.unpack('>I6', deadlines, i * 6 + 1), from + i + 1
    if deadline > 0 and deadline <= now and ended < STEP then
      -- A visitor who polled and is connected stays.
      local visitor = owner(n) == 0 and call('ZRANGEBYSCORE', keys.waiting, n, n)[1]
      if visitor then
        settle(visitor, n, MISSED, 't_missed')
        ended = ended + 1
      end
      deadline = 0
    elseif deadline > 0 and (not earliest or deadline < earliest) then
      earliest = deadline
    end
    left[i + 1] = struct.pack('>I6', deadline)
  end
  call('SETRANGE', keys.deadlines, from * 6, table.concat(left))
  if earliest then call('ZADD', keys.aways, earliest, due[1]) else call('ZREM', keys.aways, due[1]) end
  return 1
end

-- After a loss of data: ends the places whose visitors gave no sign of life within away_seconds, which
-- have no socket and no deadline since.
local function lapse_silent()
  if m.return_by == 0 or now < m.return_by then return 0 end
  local ended, last = 0, m.return_chunk + 2
  while ended < STEP and m.return_by > 0 and m.return_chunk < last do
    local from = m.return_chunk * CHUNK
    local deadlines = call('GETRANGE', keys.deadlines, from * 6, (from + CHUNK) * 6 - 1)
    for i = 1, math.min(CHUNK, m.known - from) do
      local n, has_deadline = from + i, #deadlines >= i * 6 and struct.unpack('>I6', deadlines, i * 6 - 5) > 0
      if not has_deadline and ended < STEP and owner(n) == 0 and is_waiting(n) then
        local visitor = call('ZRANGEBYSCORE', keys.waiting, n, n)[1]
        stop_waiting(n, visitor)
        record_end(n, visitor, MISSED)
        m.t_missed, ended = m.t_missed + 1, ended + 1
      end
    end
    if ended < STEP then m.return_chunk = m.return_chunk + 1 end
    if m.return_chunk * CHUNK >= m.known then m.return_by = 0 end
  end
  return ended == STEP and 1 or 0
end

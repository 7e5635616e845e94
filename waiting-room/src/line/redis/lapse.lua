-- Shared by tick.lua: places that lapse. Each function handles a bounded part and returns 1 while
-- there is more.
local function lapse_slots()
  local due = call('ZRANGEBYSCORE', lapses, '-inf', now, 'LIMIT', 0, 100)
  for _, n in ipairs(due) do settle(tonumber(n), MISSED, 't_missed') end
  return #due == 100 and 1 or 0
end

-- Ends the places of waiting visitors without a sign of life: scans the array of deadlines whose
-- earliest is due.
local function lapse_away()
  local due = call('ZRANGEBYSCORE', aways, '-inf', now, 'LIMIT', 0, 1)
  if not due[1] then return 0 end
  local key, earliest, left, ended = array_of(generation, 'd', due[1]), nil, {}, 0
  local deadlines = call('GET', key) or ''
  for i = 0, #deadlines / 6 - 1 do
    local deadline, n = struct.unpack('>I6', deadlines, i * 6 + 1), due[1] * CHUNK + i + 1
    if deadline > 0 and deadline <= now and ended < 100 then
      if call('GETBIT', alive, n - 1) == 1 then
        settle(n, MISSED, 't_missed')
        ended = ended + 1
      end
      deadline = 0
    elseif deadline > 0 and (not earliest or deadline < earliest) then
      earliest = deadline
    end
    left[i + 1] = struct.pack('>I6', deadline)
  end
  call('SET', key, table.concat(left))
  if earliest then call('ZADD', aways, earliest, due[1]) else call('ZREM', aways, due[1]) end
  return 1
end

-- After a loss of data: ends the places whose visitors did not return with a pass within
-- away_seconds.
local function lapse_unreturned()
  if m.return_by == 0 or now < m.return_by then return end
  local chunk, no_visitor = m.return_chunk, string.rep('\0', 16)
  local records = call('GET', array_of(generation, 'p', chunk)) or ''
  for i = 0, CHUNK - 1 do
    local n, visitor = chunk * CHUNK + i + 1, string.sub(records, i * RECORD + 1, i * RECORD + 16)
    if n <= m.known and (visitor == '' or visitor == no_visitor) and call('GETBIT', alive, n - 1) == 1 then
      settle(n, MISSED, 't_missed')
    end
  end
  m.return_chunk = chunk + 1
  if m.return_chunk * CHUNK >= m.known then m.return_by = 0 end
end

-- Places: how one is reported and ended; the phase; the index of this node.

-- Returns the place of number n as a reply has it, a list of names and values in turn, and its
-- state. A list rather than a table by names, because polls and opened sockets make one for each
-- visitor. It has the times of the slot in ms if there is one, and for a waiting visitor `ahead` if
-- `is_exact`; if not, the node counts in its own view.
local function place_at(n, is_exact)
  local place
  if call('GETBIT', alive, n - 1) == 1 then
    place = is_exact and { 'number', n, 'state', WAITING, 'ahead', ahead(n) } or { 'number', n, 'state', WAITING }
  else
    local slot = slot_of(n)
    if slot then
      place = { 'number', n, 'state', slot.kind, 'admitted_at', slot.admitted_at, 'claim_by', slot.claim_by,
        'expires_at', slot.expires_at }
    else
      local code = string.byte(record(n), RECORD) or 0
      place = { 'number', n, 'state', code == 0 and MISSED or code }
    end
  end
  if m.draw == 1 or m.draw == 2 then
    place[#place + 1] = 'is_provisional'
    place[#place + 1] = 1
  end
  return place, place[4]
end

-- Returns the place of a visitor and its state from the value stored under their id, a number or a
-- negative state if they have no number; and the number if they have one.
local function place_of(kept, is_exact)
  if not kept then return nil end
  local n = tonumber(kept)
  if n > 0 then
    local place, state = place_at(n, is_exact)
    return place, state, n
  end
  return { 'number', 0, 'state', -n }, -n, nil
end

-- Ends a place that is in use; returns false if it was over before. The caller saves the counters.
local function settle(n, code, total)
  if call('SETBIT', alive, n - 1, 0) == 1 then
    m.waiting = m.waiting - 1
    if owner(n) ~= 0 then m.connected = m.connected - 1 end
  else
    local slot = slot_of(n)
    if not slot then return false end
    call('HDEL', slots, n)
    call('ZREM', lapses, n)
    local kind = slot.kind == ADMITTED and 'admitted' or 'shopping'
    m[kind] = m[kind] - 1
  end
  end_as(n, code)
  m[total] = m[total] + 1
  return true
end

local function save_counts()
  save('waiting', 'admitted', 'shopping', 'connected', 'ghosts', 't_joined', 't_admitted', 't_finished', 't_missed',
    't_left')
end

-- Returns the phase: 0 scheduled, 1 prequeue, 2 open, 3 paused, 4 sold out, 5 closed.
local function phase()
  if m.closes_at > 0 and m.closes_at <= now then return 5 end
  if m.sale_at <= now then
    if m.seats_at > 0 and m.capacity > 0 and m.available == 0 and m.held == 0 then return 4 end
    return m.paused == 1 and 3 or 2
  end
  return m.line_at > 0 and m.line_at <= now and 1 or 0
end

-- Returns this node's index among those that tick this line, 1 to 250 (0: none is free), assigning
-- one at the first call.
local function node_index()
  local index = tonumber(call('HGET', nodes, ARGV[2]) or nil)
  if index then return index, false end
  local taken = {}
  for _, used in ipairs(call('HVALS', nodes)) do taken[tonumber(used)] = true end
  for free = 1, 250 do
    if not taken[free] then
      call('HSET', nodes, ARGV[2], free)
      call('ZADD', beats, now, ARGV[2])
      return free, true
    end
  end
  return 0, false
end

-- Places: what is told of one, how one ends; the phase, and this node among the others.
-- A number as it is answered: negative until it is drawn.
local function told(n)
  return (m.draw == 1 or m.draw == 2) and -n or n
end

-- A place as it is answered: number, standing, admitted, claim by, expires (ms), ahead (-1: by the node's own front).
local function spot(n, is_exact)
  if call('GETBIT', alive, n - 1) == 1 then return { told(n), WAITING, 0, 0, 0, is_exact and ahead(n) or -1 } end
  local slot = slot_of(n)
  if slot then return { told(n), slot[4], slot[1], slot[2], slot[3], 0 } end
  local code = string.byte(record(n), RECORD) or 0
  return { told(n), code == 0 and MISSED or code, 0, 0, 0, 0 }
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

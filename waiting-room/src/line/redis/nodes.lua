-- Nodes that tick this line.
--   nodes    read and written
--   reaping  read
--   beats    written

-- Returns this node's index and its registration; nothing if it is not known.
local function known_index()
  local index, registration = string.match(call('HGET', keys.nodes, ARGV[2]) or '', '(%d+) (%d+)')
  return tonumber(index), tonumber(registration)
end

-- Returns this node's index, 1 to 65,535 (0: none is free), and its registration. Registers the node
-- if it is not known, or not any more: by the registration its next tick learns that its sockets
-- must be recorded again, whichever script came first.
local function node_index()
  local index, registration = known_index()
  if index then
    -- It may be idle, as tick.lua says, and is not any more.
    call('ZADD', keys.beats, 'LT', now, ARGV[2])
    return index, registration
  end
  local taken = {}
  for _, used in ipairs(call('HVALS', keys.nodes)) do taken[tonumber(string.match(used, '%d+'))] = true end
  for _, used in ipairs(call('HKEYS', keys.reaping)) do taken[tonumber(used)] = true end
  local free = 1
  while taken[free] do free = free + 1 end
  if free > 65535 then return 0, 0 end
  m.registered = m.registered + 1
  call('HSET', keys.nodes, ARGV[2], free .. ' ' .. m.registered)
  call('ZADD', keys.beats, now, ARGV[2])
  return free, m.registered
end

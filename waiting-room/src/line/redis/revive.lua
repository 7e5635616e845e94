-- Recovers a line that the store may have lost, in whole or in its last moments before a failover,
-- from the state of one node. State newer than the store's is taken. The line goes on once all
-- nodes have reported, or after 5 s without some of them. Follows keys.lua, clock.lua and
-- alive.lua.
-- KEYS[1] prefix of the event's keys
-- ARGV[1] now in ms (0: the store's clock)
-- ARGV[2] id of this node
-- ARGV[3] epoch of the node's newest view
-- ARGV[4] its step
-- ARGV[5] its numbers
-- ARGV[6] its revision
-- ARGV[7] the highest number that the node has seen
-- ARGV[8] visitors admitted or shopping
-- ARGV[9] offset of the bitmap in bytes
-- ARGV[10] the bitmap
-- ARGV[11] number of nodes
-- ARGV[12…] fields of the line and their values in turn, 'draw' first
-- Returns nothing but {'ok'}.
local epoch, step, numbers, revision = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local highest, inside, head, bitmap = tonumber(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[9]), ARGV[10]
local function field(name) return tonumber(call('HGET', meta, name) or nil) or 0 end
if call('EXISTS', meta) == 0 then
  call('HSET', meta, 'run', string.match(call('INFO', 'server'), 'run_id:(%x+)'), 'epoch', epoch + 1, 'gen', 1,
    'phase', -1, 'last_batch', now, 'settle_until', now + 5000, 'revision', revision, 'settled', revision,
    'tellers', ARGV[11], unpack(ARGV, 12))
elseif now < field('settle_until') and epoch < field('epoch') and revision > field('settled') then
  -- This node knows a change that the nodes reporting before it did not. A draw that the store lost
  -- leaves the arrays in the order of arrival: start a new key generation, and let fans return to
  -- the numbers they drew.
  local was_drawn = field('draw') == 3
  call('HSET', meta, 'settled', revision, 'revision', math.max(revision, field('revision')) + 1, unpack(ARGV, 12))
  if field('draw') == 3 and not was_drawn then call('HSET', meta, 'gen', field('gen') + 2) end
end
-- Compare with told_step, not step: during recovery step rises although nothing else changes.
if epoch < field('epoch') and now < field('settle_until') and step > field('told_step') then
  local alive = keys_of(generation_of(field('gen')))
  -- A visitor restored in the meantime has a number above those of the bitmap, perhaps in its last
  -- byte.
  local later = {}
  for n = numbers + 1, math.ceil(numbers / 8) * 8 do later[n] = call('GETBIT', alive, n - 1) end
  if head > 0 then call('SETRANGE', alive, 0, string.rep('\0', head)) end
  if bitmap ~= '' then call('SETRANGE', alive, head, bitmap) end
  for n, bit_ in pairs(later) do call('SETBIT', alive, n - 1, bit_) end
  local is_inside = field('admitted') + field('shopping')
  call('HSET', meta, 'step', math.max(step, field('step')), 'told_step', step, 'head', 0,
    'waiting', call('BITCOUNT', alive), 'numbers', math.max(numbers, field('numbers')), 'known', math.max(numbers, field('known')),
    'ghosts', math.max(0, inside - is_inside), 'ghosts_until', now + field('claim_ms') + field('session_ms'),
    'return_by', now + field('away_ms'), 'return_chunk', 0)
end
call('SADD', reporters, ARGV[2])
if call('SCARD', reporters) >= field('tellers') then call('HSET', meta, 'settle_until', now) end
-- Numbers given out after the newest view: their visitors wait until away_seconds are over without
-- them. A highest number seen before a draw says nothing about the numbers after it.
local given = field('numbers')
if highest > given and (tonumber(ARGV[13]) == 3) == (field('draw') == 3) then
  local alive = keys_of(generation_of(field('gen')))
  set_alive(alive, given + 1, highest)
  call('HINCRBY', meta, 'waiting', highest - given)
  call('HSET', meta, 'numbers', highest, 'known', highest, 'head', math.min(field('head'), math.floor(given / 8)),
    'return_by', now + field('away_ms'), 'return_chunk', 0)
end
return { 'ok' }

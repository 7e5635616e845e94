-- Creates the line of an event.
-- KEYS[1] fairline:{event}.
-- ARGV[1] now in ms (0: the store's clock), [2] this node's id, [3] the settings (JSON), [4…] fields and their
--   values.
-- Returns {'ok'}; {'exists'}.
local meta = KEYS[1] .. ':meta'
if redis.call('EXISTS', meta) == 1 then return { 'exists' } end
local now = tonumber(ARGV[1])
if now == 0 then
  local time = redis.call('TIME')
  now = time[1] * 1000 + math.floor(time[2] / 1000)
end
local run = string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')
redis.call('HSET', meta, 'run', run, 'epoch', now, 'born', now, 'gen', 1, 'phase', -1, 'settings', ARGV[3],
  unpack(ARGV, 4))
return { 'ok' }

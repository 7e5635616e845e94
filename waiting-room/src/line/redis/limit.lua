-- Counts uses of buckets that limit how often something may happen, for all nodes. Follows clock.lua.
-- A bucket is the time at which it is empty again, in ms; it goes by itself then.
-- KEYS[1] prefix of the buckets
-- ARGV[1] now in ms (0: the store's clock)
-- ARGV[2…] for each bucket its name, the uses to be counted, the ms after which one more is free, the
--   most at once, and the most beyond these that count as well, in turn
-- Returns units: for each the ms until it has room again; 0 if there was room.
local units = {}
for i = 2, #ARGV, 5 do
  local bucket, interval = KEYS[1] .. ':' .. ARGV[i], tonumber(ARGV[i + 2])
  local full_at = now + ARGV[i + 3] * interval
  local before = tonumber(redis.call('GET', bucket) or nil) or 0
  local empty_at = math.max(before, now) + ARGV[i + 1] * interval
  units[#units + 1] = math.max(0, math.ceil(empty_at - full_at))
  empty_at = math.min(empty_at, full_at + ARGV[i + 4] * interval)
  redis.call('SET', bucket, string.format('%.3f', empty_at), 'PX', math.ceil(empty_at - now) + 1)
end
return { 'ok', 'units', units }

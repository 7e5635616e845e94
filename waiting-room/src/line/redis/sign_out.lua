-- Keeps a console session that was signed out. KEYS[1] the sorted set of all of them, by their ends.
-- ARGV[1] now in ms (0: the store's clock), [2] id:end of the session, [3] its end in ms, [4] the most that are kept, [5]
-- for how many ms beyond their ends. Returns 1; 0 when there is no room.
local call, key = redis.call, KEYS[1]
local now = tonumber(ARGV[1])
if now == 0 then
  local time = call('TIME')
  now = time[1] * 1000 + math.floor(time[2] / 1000)
end
call('ZREMRANGEBYSCORE', key, '-inf', now - ARGV[5])
if not call('ZSCORE', key, ARGV[2]) and call('ZCARD', key) >= tonumber(ARGV[4]) then return 0 end
call('ZADD', key, ARGV[3], ARGV[2])
return 1

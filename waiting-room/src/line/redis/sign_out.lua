-- Keeps a console session that was signed out, or one entry for all sessions of a key that end no
-- later. Follows clock.lua.
-- KEYS[1] sorted set of all of them, by their ends
-- ARGV[1] now in ms (0: the store's clock)
-- ARGV[2] key:id:end of the session (no id: all of the key)
-- ARGV[3] its end in ms
-- ARGV[4] the most that are kept
-- ARGV[5] for how many ms beyond their ends
-- ARGV[6] how the members begin that an entry for all of a key replaces, else empty
-- Returns nothing but {'ok'}. {'full'} when there is no room. An entry that replaces others always
-- has room: nodes add one for each key.
local call, key = redis.call, KEYS[1]
call('ZREMRANGEBYSCORE', key, '-inf', now - ARGV[5])
if ARGV[6] == '' then
  if not call('ZSCORE', key, ARGV[2]) and call('ZCARD', key) >= tonumber(ARGV[4]) then return { 'full' } end
  call('ZADD', key, ARGV[3], ARGV[2])
  return { 'ok' }
end
-- The set is bounded, and this happens once in a hundred sign-outs of a key.
if call('ZADD', key, ARGV[3], ARGV[2]) == 1 then
  for _, member in ipairs(call('ZRANGEBYSCORE', key, '-inf', ARGV[3])) do
    if member ~= ARGV[2] and string.sub(member, 1, #ARGV[6]) == ARGV[6] then call('ZREM', key, member) end
  end
end
return { 'ok' }

-- Stores the clients of an admission if they were not changed since they were read.
-- KEYS[1] prefix of the event's keys
-- ARGV[1] now in ms (0: the store's clock)
-- ARGV[2] id of this node
-- ARGV[3] the visitor
-- ARGV[4] the clients as read (JSON); empty: none
-- ARGV[5] the clients (JSON)
-- ARGV[6] end of the admission in ms
-- ARGV[7] the admission as organisers see it (JSON); empty: it is not shared
-- ARGV[8] largest number of shared admissions
-- Returns nothing but {'ok'}. {'busy'} if the clients had changed.
local key, shared = base .. ':clients:' .. ARGV[3], base .. ':shared'
if (call('GET', key) or '') ~= ARGV[4] then return { 'busy' } end
call('SET', key, ARGV[5], 'PX', math.max(1, ARGV[6] - now))
if ARGV[7] == '' then return { 'ok' } end
if call('HLEN', shared) >= tonumber(ARGV[8]) and call('HEXISTS', shared, ARGV[3]) == 0 then return { 'ok' } end
call('HSET', shared, ARGV[3], ARGV[7])
call('PEXPIRE', shared, 86400000)
return { 'ok' }

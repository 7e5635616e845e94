-- Takes new settings unless somebody changed them since they were read. ARGV[3] the settings as they were read (JSON),
-- [4] as they shall be, [5] 1: the order of admission stays, [6…] fields of the policy and their values. Returns {'ok'};
-- {'busy'} when they had changed, or the order shall and somebody is in line.
if call('HGET', meta, 'settings') ~= ARGV[3] or m.draw == 2 then return { 'busy' } end
if ARGV[5] == '0' and m.numbers > 0 then return { 'busy' } end
call('HSET', meta, 'settings', ARGV[4], unpack(ARGV, 6))
call('HINCRBY', meta, 'revision', 1)
return { 'ok' }

-- Stores the round of the beacon, unless one is stored already.
-- ARGV[3] the round (JSON).
-- Returns {'ok'}.
if m.has_beacon == 0 then
  call('HSET', meta, 'beacon', ARGV[3], 'has_beacon', 1)
  call('HINCRBY', meta, 'revision', 1)
end
return { 'ok' }

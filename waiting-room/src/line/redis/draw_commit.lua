-- Replaces the order of arrival by the drawn order, in one step.
-- KEYS[1] prefix of the event's keys
-- ARGV[1] now in ms (0: the store's clock)
-- ARGV[2] id of this node
-- ARGV[3] number of visitors drawn
-- ARGV[4] how many of them are connected
-- ARGV[5] the published outcome of the draw (JSON)
-- Returns nothing but {'ok'}. {'over'} if this node no longer holds the draw.
if m.draw ~= 2 or call('HGET', meta, 'draw_by') ~= ARGV[2] then return { 'over' } end
call('HSET', meta, 'gen', m.gen + 1, 'draw', 3, 'numbers', ARGV[3], 'waiting', ARGV[3], 'connected', ARGV[4], 'head', 0,
  'known', math.min(m.known, tonumber(ARGV[3])), 'return_by', 0, 'revision', m.revision + 1, 'drawn', ARGV[5])
return { 'ok' }

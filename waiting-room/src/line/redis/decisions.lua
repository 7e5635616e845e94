-- Reads the log of decisions. Changes nothing.
-- KEYS[1] prefix of the event's keys
--   meta       read
--   decisions  read
-- and those of head.lua
-- ARGV[1] now in ms (0: the store's clock)
-- ARGV[2] id of this node
-- ARGV[3] the lives of the store that the caller has read in, separated by dots (empty: it has read nothing)
-- ARGV[4] the last entry that it read
-- ARGV[5] largest number of entries to be returned
-- Returns lives, those of the store, as the caller is to give them; after, the last entry of those that it
-- has read which the store still has; units: the entries after that, as streams have them.
local lives, began, after = {}, {}, 0
for life, count in string.gmatch(call('HGET', keys.meta, 'lives') or m.life .. ':0', '(%x+):(%d+)') do
  lives[#lives + 1], began[#began + 1] = life, tonumber(count)
end
-- The store may have gone back to before what the caller read, and given the numbers again since: it has
-- what was written before the end of the newest life that the caller knows.
for i = #lives, 1, -1 do
  if string.find(ARGV[3], lives[i], 1, true) then
    after = math.min(tonumber(ARGV[4]), began[i + 1] or math.huge)
    break
  end
end
local units = call('XRANGE', keys.decisions, after + 1 .. '-0', '+', 'COUNT', ARGV[5])
return { 'ok', 'lives', table.concat(lives, '.'), 'after', after, 'units', units }

-- Deletes the line of an event with all of its keys, unless it was created again. Follows keys.lua
-- and draw.lua.
-- KEYS[1] prefix of the event's keys
--   meta     deleted
--   nodes    read and deleted
--   reaping  read and deleted
--   and all others
-- ARGV[1] now in ms (0: the store's clock)
-- ARGV[2] id of this node
-- ARGV[3] creation: identity of the event
-- Returns nothing but {'ok'}. {'gone'} if there is no such event, or another one by now.
if call('HGET', keys.meta, 'creation') ~= ARGV[3] then return { 'gone' } end
local indexes = call('HKEYS', keys.reaping)
for _, node in ipairs(call('HVALS', keys.nodes)) do indexes[#indexes + 1] = string.match(node, '%d+') end
-- However much they hold: their memory is freed in the background.
for _, index in ipairs(indexes) do call('UNLINK', inbox(index)) end
for _, name in ipairs(DRAWN) do call('UNLINK', drawing(name)) end
for _, key in pairs(keys) do call('UNLINK', key) end
call('UNLINK', base .. ':shared')
return { 'ok' }

-- Reads the log of decisions. Changes nothing.
-- KEYS[1] prefix of the event's keys
--   meta       read
--   decisions  read
-- and those of head.lua
-- ARGV[1] now in ms (0: the store's clock)
-- ARGV[2] id of this node
-- ARGV[3] lives as the last answer had them (empty: the caller has read nothing)
-- ARGV[4] the last entry that it read
-- ARGV[5] largest number of entries to be returned
-- Returns lives, as the caller is to give them: those of the store, separated by dots, and before them the
-- newest others that the caller read in, with the last entry that it read there (life:entry); after, the
-- last entry of those that it has read which the store still has; units: the entries after that, as
-- streams have them.
local READ_LIVES_MAX = 8

local lives, began, after = {}, {}, 0
for life, entry in string.gmatch(call('HGET', keys.meta, 'lives') or m.life .. ':0', '(%x+):(%d+)') do
  lives[#lives + 1], began[#began + 1] = life, tonumber(entry)
end
local read, others = {}, {}
for life, entry in string.gmatch(ARGV[3], '(%x+):?(%d*)') do
  read[life] = entry == '' and ARGV[4] or entry
  others[#others + 1] = life
end
-- The store may have gone back to before what the caller read, and given the numbers again since: it has
-- what was written before the end of the newest life that the caller knows.
for i = #lives, 1, -1 do
  if read[lives[i]] then
    after = math.min(tonumber(read[lives[i]]), began[i + 1] or math.huge)
    break
  end
end
-- It may go back to those as well: from a replica or a backup of before.
local told = {}
for _, life in ipairs(lives) do read[life] = nil end
for i = #others, 1, -1 do
  local life = others[i]
  if read[life] and #told < READ_LIVES_MAX then table.insert(told, 1, life .. ':' .. read[life]) end
end
for _, life in ipairs(lives) do told[#told + 1] = life end
local units = call('XRANGE', keys.decisions, after + 1 .. '-0', '+', 'COUNT', ARGV[5])
return { 'ok', 'lives', table.concat(told, '.'), 'after', after, 'units', units }

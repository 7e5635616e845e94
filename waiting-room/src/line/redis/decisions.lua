-- Reads the log of decisions. Changes nothing.
-- KEYS[1] prefix of the event's keys
--   decisions  read
-- and those of head.lua
-- ARGV[1] now in ms (0: the store's clock)
-- ARGV[2] id of this node
-- ARGV[3] life of the store in which the caller read last (empty: it has read nothing)
-- ARGV[4] the last entry that it read then
-- ARGV[5] largest number of entries to be returned
-- Returns life; after, the last entry of those that it has read which this life of the store knows; units:
-- the entries after that, as streams have them.
local after = tonumber(ARGV[4])
-- An earlier life may have had entries that the store has lost, and whose numbers are given again.
if ARGV[3] ~= m.life then after = math.min(after, m.decided_before) end
local units = call('XRANGE', keys.decisions, after + 1 .. '-0', '+', 'COUNT', ARGV[5])
return { 'ok', 'life', m.life, 'after', after, 'units', units }

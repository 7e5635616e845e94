-- Stores the seat counts reported by the checkout.
-- KEYS[1] prefix of the event's keys
--   meta  written
-- and those of head.lua
-- ARGV[1] now in ms (0: the store's clock)
-- ARGV[2] id of this node
-- ARGV[3] the availability (JSON)
-- ARGV[4] capacity, in seats
-- ARGV[5] available seats
-- ARGV[6] held seats
-- Returns nothing but {'ok'}.
call('HSET', keys.meta, 'seats', ARGV[3], 'capacity', ARGV[4], 'available', ARGV[5], 'held', ARGV[6], 'seats_at', clock)
return { 'ok' }

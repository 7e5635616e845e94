-- Stores the seat counts reported by the checkout.
-- KEYS[1] prefix of the event's keys
--   meta  written
-- and those of head.lua, places.lua
-- ARGV[1] now in ms (0: the store's clock)
-- ARGV[2] id of this node
-- ARGV[3] the availability (JSON)
-- ARGV[4] capacity, in seats
-- ARGV[5] available seats
-- ARGV[6] held seats
-- Returns nothing but {'ok'}.
-- The same counts say only that the checkout is up, which does not matter once the event is closed,
-- and not at once while no visitor is here.
local is_same = m.capacity == tonumber(ARGV[4]) and m.available == tonumber(ARGV[5]) and m.held == tonumber(ARGV[6])
local is_idle = m.waiting + m.admitted + m.shopping == 0 and math.abs(clock - m.seats_at) < 20000
if m.seats_at > 0 and is_same and (is_idle or phase() == 5) then return { 'ok' } end
call('HSET', keys.meta, 'seats', ARGV[3], 'capacity', ARGV[4], 'available', ARGV[5], 'held', ARGV[6], 'seats_at', clock)
return { 'ok' }

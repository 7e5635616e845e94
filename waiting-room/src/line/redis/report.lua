-- Stores the seat counts reported by the checkout.
-- ARGV[3] the availability (JSON), [4] capacity, [5] available, [6] held.
-- Returns {'ok'}.
call('HSET', meta, 'seats', ARGV[3], 'capacity', ARGV[4], 'available', ARGV[5], 'held', ARGV[6], 'seats_at', now)
return { 'ok' }

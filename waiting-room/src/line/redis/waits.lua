-- Returns {'ok', waiting times of the last 1,000 admitted visitors in seconds}.
return { 'ok', call('LRANGE', base .. ':waits', 0, -1) }

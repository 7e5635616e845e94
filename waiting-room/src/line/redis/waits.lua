-- How long the last 1,000 admitted had waited, in seconds. Returns {'ok', seconds}.
return { 'ok', call('LRANGE', base .. ':waits', 0, -1) }

-- Asks Fairline's gate about a request: it goes on to the site, or the answer of the gate is that of the site.
-- The argument is the gate's URL.

-- Headers that the gate needs, and those of its refusals that the client gets.
local ASKED = { 'cookie', 'authorization', 'user-agent', 'accept', 'sec-fetch-mode', 'x-requested-with', 'origin',
  'access-control-request-method', 'x-forwarded-for', 'host' }
local REFUSED = { 'location', 'content-type', 'cache-control', 'www-authenticate', 'x-fairline-queue' }
local AWAY = 'The waiting room cannot be reached just now. Try again in a few seconds.\n'

local function answer(txn, status, headers, body)
  local reply = txn:reply({ status = status, body = body })
  for name, value in pairs(headers) do reply:add_header(name, value) end
  txn:done(reply)
end

core.register_action('fairline-gate', { 'http-req' }, function(txn, gate)
  local given, headers = txn.http:req_get_headers(), {}
  for _, name in ipairs(ASKED) do
    if given[name] then
      headers[name] = {}
      for _, value in pairs(given[name]) do table.insert(headers[name], value) end
    end
  end
  headers['x-original-uri'] = { txn.sf:pathq() }
  headers['x-original-method'] = { txn.sf:method() }
  local response = core.httpclient():get({ url = gate, headers = headers, timeout = 3000 })
  local status = response and response.status or 0
  local function head(name)
    local values = response.headers and response.headers[name]
    return values and values[0]
  end
  if status == 200 or status == 204 then
    if head('x-fairline-visitor') then txn.http:req_set_header('X-Fairline-Visitor', head('x-fairline-visitor')) end
    if head('set-cookie') then txn:set_var('txn.fairline_cookie', head('set-cookie')) end
  elseif status == 302 or status == 401 or status == 403 then
    local told = {}
    for _, name in ipairs(REFUSED) do told[name] = head(name) end
    answer(txn, status, told, response.body or '')
  else
    answer(txn, 503, { ['cache-control'] = 'no-store', ['retry-after'] = '5', ['content-type'] = 'text/plain' }, AWAY)
  end
end, 1)

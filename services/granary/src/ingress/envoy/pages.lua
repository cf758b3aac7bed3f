-- What of a call for a page gets to where it lies, and what of the answer gets back: nothing of who reads, and nothing for the origin of the API.
local ASKED = {
  [':method'] = 1, [':path'] = 1, [':authority'] = 1, [':scheme'] = 1, ['accept'] = 1, ['accept-encoding'] = 1, ['accept-language'] = 1,
  ['if-none-match'] = 1, ['if-modified-since'] = 1, ['if-range'] = 1, ['range'] = 1, ['x-forwarded-proto'] = 1, ['x-request-id'] = 1,
}
local ANSWERED = {
  [':status'] = 1, ['accept-ranges'] = 1, ['age'] = 1, ['cache-control'] = 1, ['content-disposition'] = 1, ['content-encoding'] = 1,
  ['content-language'] = 1, ['content-length'] = 1, ['content-range'] = 1, ['content-security-policy'] = 1, ['content-type'] = 1, ['date'] = 1,
  ['etag'] = 1, ['expires'] = 1, ['last-modified'] = 1, ['location'] = 1, ['vary'] = 1, ['x-content-type-options'] = 1,
}

local function only(headers, known)
  local others = {}
  for name in pairs(headers) do
    if not known[name] then others[#others + 1] = name end
  end
  for _, name in ipairs(others) do headers:remove(name) end
end

function envoy_on_request(handle)
  local headers = handle:headers()
  local length = headers:get('content-length')
  if headers:get('transfer-encoding') or (length and length ~= '0') then
    handle:respond({[':status'] = '400'}, '')
    return
  end
  -- Codes of logins are there.
  local path = headers:get(':path'):gsub('[?#].*', '')
  headers:replace(':path', path)
  only(headers, ASKED)
end

function envoy_on_response(handle)
  local headers = handle:headers()
  -- Redirects of the bucket lead to where nobody else is to go.
  local location = headers:get('location')
  if location and not location:find('^/') then headers:remove('location') end
  only(headers, ANSWERED)
end

-- What the transcoder leaves undone between REST and gRPC. Before this text stand three tables, made of the protos:
--   CALLS   {verb, pattern of the path, message of the body, where that message is in the request, fields that the path says,
--           fields that the query may say -> '#' for a whole number, '?' for true or false, '=' and an enum, '' for anything}
--   FIELDS  message -> field -> its message; '=' and its enum; '' where nothing inside is looked at; '{}' and the values' kind for a map
--   ENUMS   enum -> names of its values
--
-- 1. The transcoder drops fields that it does not know. A misspelt one is an error here, as in the command.
-- 2. It lets the query say again what the path has said. Here nobody may say two things at once.
-- 3. It does not say which field has a value that an enum has not, nor in our form which parameter is wrong.
-- 4. Errors become problem details (RFC 9457): {"code":N,"message":...,"details":[...]} is what the transcoder writes.

local DEPTH = 64

local CODES = {
  [1] = 'CANCELLED', [2] = 'UNKNOWN', [3] = 'INVALID_ARGUMENT', [4] = 'DEADLINE_EXCEEDED', [5] = 'NOT_FOUND', [6] = 'ALREADY_EXISTS',
  [7] = 'PERMISSION_DENIED', [8] = 'RESOURCE_EXHAUSTED', [9] = 'FAILED_PRECONDITION', [10] = 'ABORTED', [11] = 'OUT_OF_RANGE',
  [12] = 'UNIMPLEMENTED', [13] = 'INTERNAL', [14] = 'UNAVAILABLE', [15] = 'DATA_LOSS', [16] = 'UNAUTHENTICATED',
}

local TITLES = {
  [400] = 'Bad Request', [401] = 'Unauthorized', [403] = 'Forbidden', [404] = 'Not Found', [405] = 'Method Not Allowed', [408] = 'Request Timeout', [409] = 'Conflict',
  [429] = 'Too Many Requests', [499] = 'Client Closed Request', [500] = 'Internal Server Error', [501] = 'Not Implemented',
  [503] = 'Service Unavailable', [504] = 'Gateway Timeout',
}

-- The position of the quote that ends the text beginning at `at`.
local function closing(text, at)
  at = at + 1
  while true do
    local found = text:find('["\\]', at)
    if not found or text:byte(found) == 34 then return found end
    at = found + 2
  end
end

-- The bytes that matter, as a body may have millions of them.
local QUOTE, COMMA, COLON, EQUALS, OPEN, SHUT, BEGIN, END = 34, 44, 58, 61, 91, 93, 123, 125

local function is_enum(kind) return kind and kind:byte() == EQUALS end

-- What is wrong with a name of a value of an enum, if anything is.
local function wrong_choice(kind, name)
  local known = {}
  for _, choice in ipairs(ENUMS[kind:sub(2)]) do
    if choice == name then return nil end
    if not choice:find('_UNSPECIFIED$') then known[#known + 1] = choice end
  end
  return 'expected one of ' .. table.concat(known, ', ')
end

-- Each of these returns the position behind the value that begins at `at`; or none, the path of the first wrong field and what is wrong, if that is
-- known: without it there is no such field. Neither position nor path: this is no JSON, which the transcoder will say.
local value

local function joined(name, rest)
  return name .. ((rest == '' or rest:byte() == OPEN) and '' or '.') .. rest
end

-- The position of the next byte that is no blank, and that byte.
local function peek(text, at)
  at = text:find('%S', at)
  return at, at and text:byte(at)
end

-- What is known of a field: its message, nothing inside it, or that there is no such field.
local function inside(kind, name)
  if not kind then return nil, true end
  if kind:sub(1, 2) == '{}' then
    local values = kind:sub(3)
    return values ~= '' and values or nil, true
  end
  local child = FIELDS[kind][name]
  return child ~= '' and child or nil, child ~= nil
end

local function members(text, at, kind, depth)
  local mark, wrong, why
  at, mark = peek(text, at + 1)
  if mark == END then return at + 1 end
  while mark == QUOTE do
    local quote = closing(text, at)
    if not quote then return nil end
    local name = kind and text:sub(at + 1, quote - 1)
    local child, known = inside(kind, name)
    if not known then return nil, name end
    at, mark = peek(text, quote + 1)
    if mark ~= COLON then return nil end
    at, wrong, why = value(text, at + 1, child, depth + 1)
    if wrong then return nil, joined(name, wrong), why end
    at, mark = peek(text, at or #text + 1)
    if mark == END then return at + 1 end
    if mark ~= COMMA then return nil end
    at, mark = peek(text, at + 1)
  end
  return nil
end

local function items(text, at, kind, depth)
  local next, mark = peek(text, at + 1)
  if mark == SHUT then return next + 1 end
  local index, wrong, why = 0, nil, nil
  while true do
    at, wrong, why = value(text, at + 1, kind, depth + 1)
    if wrong then return nil, joined('[' .. index .. ']', wrong), why end
    at, mark = peek(text, at or #text + 1)
    if mark == SHUT then return at + 1 end
    if mark ~= COMMA then return nil end
    index = index + 1
  end
end

value = function(text, at, kind, depth)
  local mark
  at, mark = peek(text, at)
  if not at or depth > DEPTH then return nil end
  if mark == BEGIN then return members(text, at, not is_enum(kind) and kind or nil, depth) end
  if mark == OPEN then return items(text, at, kind, depth) end
  if mark == QUOTE then
    local quote = closing(text, at)
    local why = quote and is_enum(kind) and wrong_choice(kind, text:sub(at + 1, quote - 1))
    if why then return nil, '', why end
    return quote and quote + 1
  end
  local _, last = text:find('^[%w%+%-%.]+', at)
  return last and last + 1
end

-- It goes into an answer: nothing but what names of fields are made of.
local function shown(name)
  return (name:sub(1, 256):gsub('[^%w_.%[%]%-]', '?'))
end

-- The first wrong field of a body, and what is wrong with it.
local function wrong_field(text, kind, place)
  local _, wrong, why = value(text, 1, kind, 0)
  if wrong then return shown(place .. wrong), why or 'no such field' end
end

local function decoded(text)
  return (text:gsub('%+', ' '):gsub('%%(%x%x)', function(hex) return string.char(tonumber(hex, 16)) end))
end

-- What is wrong with a parameter, if anything is. Values of enums may be numbers too, which services look at.
local function wrong_value(kind, text)
  local is_number = text:find('^%-?%d+$')
  if kind == '#' then return not is_number and 'expected a whole number' or nil end
  if kind == '?' then return text ~= 'true' and text ~= 'false' and 'expected true or false' or nil end
  return is_enum(kind) and not is_number and wrong_choice(kind, text) or nil
end

-- The first wrong parameter of a query, and what is wrong with it.
local function wrong_parameter(query, call)
  for name, text in ('&' .. query):gmatch('&([^&=]+)=?([^&]*)') do
    name = decoded(name)
    if call[5][name] then return shown(name), 'stands in the path already' end
    local kind = call[6][name]
    if not kind then return shown(name), 'no such parameter' end
    local why = wrong_value(kind, decoded(text))
    if why then return name, why end
  end
end

local function call_of(verb, path)
  for _, call in ipairs(CALLS) do
    if call[1] == verb and path:find(call[2]) then return call end
  end
end

local function problem(status, code, rest)
  return '{"type":"about:blank","title":"' .. (TITLES[status] or 'Error') .. '","status":' .. status .. ',"code":"' .. code .. '","detail":' .. rest
end

local function refuse(handle, field, why)
  local rest = '"' .. field .. ': ' .. why .. '","violations":[{"field":"' .. field .. '","description":"' .. why .. '"}]}'
  handle:respond({[':status'] = '400', ['content-type'] = 'application/problem+json'}, problem(400, CODES[3], rest))
end

function envoy_on_request(handle)
  local headers = handle:headers()
  local path, query = headers:get(':path'):match('^([^?#]*)%??([^#]*)')
  local call = call_of(headers:get(':method'), path)
  if not call then return end
  local parameter, reason = wrong_parameter(query, call)
  if parameter then return refuse(handle, parameter, reason) end
  local body = call[3] ~= '' and handle:body()
  if not body then return end
  local field, why = wrong_field(body:getBytes(0, body:length()), call[3], call[4])
  if field then return refuse(handle, field, why) end
end

-- Nothing in a text of JSON looks like these marks: quotes are escaped there.
local VIOLATIONS = '"details":[{"@type":"type.googleapis.com/google.rpc.BadRequest","field_violations":'
local RETRY = '"@type":"type.googleapis.com/google.rpc.RetryInfo","retry_delay":"([%d.]+)s"'

-- The problem, its code, and in how many seconds the call may be made again, if that is said.
local function translated(status, text)
  local code, rest = text:match('^{"code":(%d+),"message":(.*)$')
  if not code then return nil end
  local delay = tonumber(rest:match(RETRY))
  local first, last = rest:find(VIOLATIONS, 1, true)
  if first and rest:sub(-3) == '}]}' and not rest:find('},{"@type":', last, true) then
    rest = rest:sub(1, first - 1) .. '"violations":' .. rest:sub(last + 1, -4) .. '}'
  end
  code = CODES[tonumber(code)] or 'UNKNOWN'
  return problem(status, code, rest), code, delay and math.max(1, math.ceil(delay))
end

function envoy_on_response(handle)
  if handle:headers():get('content-type') ~= 'application/json' then return end
  local status = tonumber(handle:headers():get(':status'))
  if status < 400 then
    -- Of interest to those who speak gRPC.
    handle:headers():remove('grpc-status')
    handle:headers():remove('grpc-message')
    return
  end
  local body = handle:body()
  if not body then return end
  local text, code, delay = translated(status, body:getBytes(0, body:length()))
  if not text then return end
  body:setBytes(text)
  -- For the access log.
  handle:streamInfo():dynamicMetadata():set('granary', 'code', code)
  handle:headers():replace('content-type', 'application/problem+json')
  if delay then handle:headers():replace('retry-after', tostring(delay)) end
end

--[[
The circuit breaker in front of the limiter; `breaker.py` says what it is for. Loaded in front of `token_bucket.lua`, whose
script it is part of: `acquire` asks `gate` first and tells `started`.

KEY    [3]  hash, absent until the first failure
         open    1 = open or half-open      held   1 = by an admin: no probe
         since   µs, when `open` last changed; 0 = never
         streak  failures in a row          trip   how often it was opened
         win     µs, when the window began  calls, bad  calls and failures in it
         pause   µs, the newest pause       next   µs, when a probe may go out
         probe   the slot of the newest probe: it is under way while the limiter has that slot
         why     what the newest failure was
ARGV   from [6]:  report  slot, trip, 1 = failed, why       hold  why       close  -       breaker  -
ANSWER report: {0 nothing new | 1 opened | 2 still open | 3 closed};  hold, close: {0}
       breaker: {open, held, for ms, streak, next probe ms, probing, trip, why}

A clock that was set back is made good by whoever looks first: no wait becomes longer than the pause it belongs to.
--]]
local TRIP_STREAK, TRIP_LEAST, TRIP_SHARE, WINDOW_US = 10, 20, 0.5, 10000000
local FIRST_PAUSE_US, LONGEST_PAUSE_US, STEADY_US = 1000000, 30000000, 30000000
local PROBING_POLL_MS, HELD_POLL_MS = 250, 5000
local BREAKER_FIELDS = {'open', 'held', 'since', 'streak', 'trip', 'win', 'calls', 'bad', 'pause', 'next', 'probe', 'why'}
local UNCHANGED, OPENED, STILL_OPEN, CLOSED = 0, 1, 2, 3

local function keep_breaker(key, b)
  local flat = {}
  for _, field in ipairs(BREAKER_FIELDS) do
    flat[#flat + 1] = field
    flat[#flat + 1] = type(b[field]) == 'number' and string.format('%.17g', b[field]) or b[field]
  end
  redis.call('HSET', key, unpack(flat))
end

local function breaker_of(key, now)
  local values = redis.call('HMGET', key, unpack(BREAKER_FIELDS))
  local b = {}
  for i, field in ipairs(BREAKER_FIELDS) do
    if field == 'probe' or field == 'why' then b[field] = values[i] or ''
    else b[field] = tonumber(values[i] or 0) end
  end
  if b.next > now + b.pause or b.since > now or b.win > now then
    b.next, b.since = math.min(b.next, now + b.pause), math.min(b.since, now)
    if b.win > now then b.win = 0 end
    keep_breaker(key, b)
  end
  return b
end

local function probing(b, slots, now)
  local until_us = b.probe ~= '' and redis.call('ZSCORE', slots, b.probe)
  return until_us and tonumber(until_us) > now
end

-- How many ms the caller has to wait before it asks again; nil: it may go on (and is the probe, if the breaker is open).
local function gate(b, slots, now)
  if b.open == 0 then return nil end
  if b.held == 1 then return HELD_POLL_MS end
  if now < b.next then return math.ceil((b.next - now) / 1000) end
  if probing(b, slots, now) then return PROBING_POLL_MS end
  return nil
end

local function started(key, b, slot, now)
  if b.open == 1 then
    redis.call('HSET', key, 'probe', slot)
  elseif b.win > 0 and now < b.win + WINDOW_US then
    redis.call('HINCRBY', key, 'calls', 1)
  end
end

local function trips(b)
  return b.streak >= TRIP_STREAK or (b.bad >= TRIP_LEAST and b.bad >= TRIP_SHARE * b.calls)
end

local function opened(b, now)
  local again = b.pause > 0 and now - b.since < STEADY_US
  b.pause = again and math.min(LONGEST_PAUSE_US, 2 * b.pause) or FIRST_PAUSE_US
  b.open, b.since, b.trip, b.next, b.probe = 1, now, b.trip + 1, now + b.pause, ''
end

local function closed(b, now)
  b.open, b.held, b.since, b.streak, b.win, b.calls, b.bad, b.probe = 0, 0, now, 0, 0, 0, 0, ''
end

local function failed_while_closed(b, now)
  if b.win == 0 or now >= b.win + WINDOW_US then b.win, b.calls, b.bad = now, 1, 0 end
  b.streak, b.bad = b.streak + 1, b.bad + 1
  if not trips(b) then return UNCHANGED end
  opened(b, now)
  return OPENED
end

local function failed_probe(b, now)
  b.pause = math.min(LONGEST_PAUSE_US, 2 * b.pause)
  b.next, b.probe = now + b.pause, ''
  return STILL_OPEN
end

local function report_to_breaker(key, now, slot, trip, failed, why)
  local b = breaker_of(key, now)
  if trip ~= b.trip or (b.open == 1 and (slot ~= b.probe or b.held == 1)) then return {UNCHANGED} end
  local change = UNCHANGED
  if failed then
    b.why = why
    change = b.open == 1 and failed_probe(b, now) or failed_while_closed(b, now)
  elseif b.open == 1 then
    closed(b, now)
    change = CLOSED
  elseif b.streak == 0 then
    return {UNCHANGED}
  else
    b.streak = 0
  end
  keep_breaker(key, b)
  return {change}
end

local function hold_breaker(key, now, why)
  local b = breaker_of(key, now)
  if b.open == 0 then opened(b, now) end
  b.held, b.why, b.probe = 1, why, ''
  keep_breaker(key, b)
  return {0}
end

local function close_breaker(key, now)
  local b = breaker_of(key, now)
  if b.open == 1 then
    closed(b, now)
    keep_breaker(key, b)
  end
  return {0}
end

local function breaker_state(key, slots, now)
  local b = breaker_of(key, now)
  local for_ms = b.since > 0 and math.floor((now - b.since) / 1000) or 0
  local next_ms = (b.open == 1 and b.held == 0) and math.max(0, math.ceil((b.next - now) / 1000)) or 0
  local under_way = b.open == 1 and b.held == 0 and probing(b, slots, now) and 1 or 0
  return {b.open, b.held, for_ms, b.streak, next_ms, under_way, b.trip, b.why}
end


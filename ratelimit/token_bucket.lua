--[[
Shared limiter: a token bucket with debt, a cap on calls in flight, one block for everyone, and a rate that adapts.

WHY A SCRIPT. One EVALSHA reads the server's clock and the bucket, decides, and writes. No client clock takes part, nobody
can come in between, and an admission costs one round trip.

WHY RESERVE INSTEAD OF DENY. A caller who has to wait is told when it may start, and its cost is taken now: tokens go below
zero. Such debt is a queue in the order of arrival that needs no list; nobody polls, nobody starves. Only a caller whose
wait would exceed its own maximum is parked, and then it has taken nothing.

WHY TOKENS AND NOT GCRA. GCRA keeps one number, the time at which the next call conforms. That number is a debt expressed in
time: when the rate changes, the debt already granted changes its price, and the limit is broken in some window. Tokens are
counted in calls; a change of rate only changes how fast they come from now on.

KEYS   (all carry the same hash tag)
  [1]  hash, the bucket
         tok    tokens at `last`; below 0 = debt; never above burst
         last   when tokens were last settled, µs of this server's clock
         rate   calls per second up to the moment `grow`
         grow   µs; after it the rate grows by max/FULL_GROWTH_S per second until it is max
         block  µs; until then no token is born and nothing starts
         ep     epoch: how many cuts there were
         max    configured calls per second      burst  most tokens      cap  most calls in flight
  [2]  sorted set, the slots: member = the caller's slot, score = its deadline in µs (granted start + hold)
  [3]  hash, the breaker: see `breaker.lua`

ARGV   [1] operation, [2] now in µs or '' (then TIME; the other is for tests), [3..5] max, burst, cap of the caller's settings
       (used only for a missing hash, and by `configure`), from [6] the operation's own:
         acquire    cost, hold ms, longest wait ms, slot, slot to release or '', slot to pass on or ''
         throttled  epoch, block ms
         configure  -
         state      -
         report, hold, close, breaker: see `breaker.lua`
ANSWER acquire: {0 start | 1 rate | 2 blocked | 3 in flight | 4 cost above burst | 5 down, wait ms, epoch, burst, trip, doubted}
       state:   {rate, max, tok, burst, in flight, cap, blocked ms, epoch};  others: {0}

INVARIANT. In every window of W seconds, at granted times: starts <= burst + max * W + 1.
Let A(t) be the tokens born up to t and D(i) the cost of the first i starts. A start is granted for the moment at which
D(i) = A(t), or for now if tokens suffice; then A(t) - burst <= D(i-1), so the starts from i to j number at most
A(t_j) - A(t_i) + burst. What remains is that A, as seen later, never lies above A as it was seen at an earlier grant, up to
that grant's start: a cut, a block and a lower maximum only lower it, and a higher maximum starts to count when the debt is
paid, which is not before the last granted start. The tokens between two moments are the exact area under the rate curve, so
it makes no difference how often anyone looks. The 1 covers rounding a wait up to whole milliseconds (up to 1,000 calls/s;
above that rate/1000).
Slots: at most cap of them have a deadline in the future. A holder that dies gives its slot back at the deadline. A slot that
is passed on stands for two calls that follow each other: the one in flight, and the one that starts when that one is over.

A PARK LEAVES THE BUCKET AS IT IS, byte for byte: settled values are kept only by a start. Slots past their deadline are not
counted, and deleted by the next start. Three things take effect all the same: a slot passed along to release; the birth of a
missing hash (otherwise its tokens would never begin to be born); a clock that was set back.

MISSING HASH (first use, flush, failover): tokens 0 and the lowest rate, so that a lost memory cannot become a burst. Each
loss can add the starts that overlap with reservations still waiting: at most longest wait * lowest rate of them.

CLOCK SET BACK by S: no time counts as passed, and every stored moment moves back by S, so that no wait grows by S.
CLOCK SET FORWARD by J: tokens for J seconds, at most burst; slots and blocks end J earlier.

THROTTLE. Every report blocks everyone until its time and takes the saved tokens. The rate is cut once per epoch: twenty calls
that were in flight together and are all refused are one piece of news. It rests COOL_US and until the block is over, then grows.

Numbers are stored with 17 digits: a double then reads back exactly. tostring() would keep 14, and a moment in µs has 16.
The first line of the whole script (#!lua) makes the server refuse it when it is out of memory or a replica: never half a
change.
--]]
local CUT, FLOOR_SHARE, FLOOR_PER_S = 0.7, 0.2, 1
local COOL_US, FULL_GROWTH_S, IN_FLIGHT_POLL_MS = 1000000, 8, 100
local START, RATE, BLOCKED, IN_FLIGHT, COST, DOWN = 0, 1, 2, 3, 4, 5
local FIELDS = {'tok', 'last', 'rate', 'grow', 'block', 'ep', 'max', 'burst', 'cap'}

local bucket_key, slots_key, breaker_key = KEYS[1], KEYS[2], KEYS[3]
local operation = ARGV[1]
local now = tonumber(ARGV[2])
if not now then
  local time = redis.call('TIME')
  now = tonumber(time[1]) * 1000000 + tonumber(time[2])
end

local function text(number) return string.format('%.17g', number) end

local function save(b, fields)
  local flat = {}
  for _, field in ipairs(fields) do
    flat[#flat + 1] = field
    flat[#flat + 1] = text(b[field])
  end
  redis.call('HSET', bucket_key, unpack(flat))
end

local function lowest(max) return math.min(max, math.max(FLOOR_PER_S, FLOOR_SHARE * max)) end

local function fresh()
  local max = tonumber(ARGV[3])
  return {tok = 0, last = now, rate = lowest(max), grow = now, block = 0, ep = 0,
          max = max, burst = tonumber(ARGV[4]), cap = tonumber(ARGV[5])}
end

-- The clock was set back: as if the time since `last` had not passed. Writes, even if the caller is then parked.
local function set_back(b)
  local step = b.last - now
  b.last, b.grow, b.block = now, b.grow - step, math.max(0, b.block - step)
  save(b, {'last', 'grow', 'block'})
  for _, slot in ipairs(redis.call('ZRANGE', slots_key, 0, -1)) do
    redis.call('ZINCRBY', slots_key, text(-step), slot)
  end
end

local function load()
  local values = redis.call('HMGET', bucket_key, unpack(FIELDS))
  local b = {}
  for i, field in ipairs(FIELDS) do
    b[field] = tonumber(values[i])
    if not b[field] then return nil end
  end
  return b
end

local function open()
  local b = load()
  if not b then
    b = fresh()
    save(b, FIELDS)
  elseif now < b.last then
    set_back(b)
  end
  return b
end

-- Slope of the rate (per second per µs), and the moment from which it is max.
local function growth(b)
  local slope = b.max / FULL_GROWTH_S / 1000000
  return slope, b.grow + math.max(0, b.max - b.rate) / slope
end

local function rate_at(b, t)
  if t <= b.grow then return b.rate end
  local slope, full = growth(b)
  if t >= full then return b.max end
  return b.rate + slope * (t - b.grow)
end

-- Tokens born between two moments: flat, ramp, flat.
local function born(b, from, to)
  local slope, full = growth(b)
  local ramp_from, ramp_to = math.min(math.max(from, b.grow), full), math.min(math.max(to, b.grow), full)
  local before = math.max(0, math.min(to, b.grow) - from) * b.rate
  local ramp = (ramp_to - ramp_from) * (b.rate + slope * ((ramp_from - b.grow) + (ramp_to - b.grow)) / 2)
  local after = math.max(0, to - math.max(from, full)) * b.max
  return (before + ramp + after) / 1000000
end

-- How many µs after `from` the debt is paid: the inverse of born().
local function paid_after(b, from, debt)
  local slope, full = growth(b)
  local need, passed = debt * 1000000, 0
  if from < b.grow then
    local available = (b.grow - from) * b.rate
    if need <= available then return need / b.rate end
    need, passed = need - available, b.grow - from
  end
  local at = from + passed
  if at < full then
    local rate = b.rate + slope * (at - b.grow)
    local available = (full - at) * (rate + b.max) / 2
    -- the root of slope/2 x² + rate x = need that does not subtract nearly equal numbers
    if need <= available then return passed + 2 * need / (rate + math.sqrt(rate * rate + 2 * slope * need)) end
    need, passed = need - available, passed + (full - at)
  end
  return passed + need / b.max
end

local function settle(b)
  local from = math.max(b.last, b.block)
  if now > from then b.tok = math.min(b.burst, b.tok + born(b, from, now)) end
  b.last = now
end

local function debt_paid_at(b, tok)
  local from = math.max(now, b.block)
  if tok >= 0 then return from end
  return from + paid_after(b, from, -tok)
end

local function live_slots() return redis.call('ZCOUNT', slots_key, '(' .. text(now), '+inf') end

local function is_live(slot)
  local until_us = slot ~= '' and redis.call('ZSCORE', slots_key, slot)
  return until_us and tonumber(until_us) > now
end

local function next_look_ms()
  local first = redis.call('ZRANGEBYSCORE', slots_key, '(' .. text(now), '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
  return math.min(IN_FLIGHT_POLL_MS, math.max(1, math.ceil((tonumber(first[2]) - now) / 1000)))
end

local function acquire()
  local cost, hold_ms, longest_ms = tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8])
  local slot, release, pass_on = ARGV[9], ARGV[10], ARGV[11]
  local b = open()
  if release ~= '' then redis.call('ZREM', slots_key, release) end
  local breaker = breaker_of(breaker_key, now)
  local function answer(code, wait_ms)
    return {code, wait_ms, b.ep, text(b.burst), breaker.trip, (breaker.open == 1 or breaker.streak > 0) and 1 or 0}
  end
  if cost > b.burst then return answer(COST, 0) end
  local closed_ms = gate(breaker, slots_key, now)
  if closed_ms then return answer(DOWN, closed_ms) end
  settle(b)
  local wait_ms = math.ceil((debt_paid_at(b, b.tok - cost) - now) / 1000)
  if wait_ms > longest_ms then return answer(b.block > now and BLOCKED or RATE, wait_ms) end
  local others = live_slots() - (is_live(pass_on) and 1 or 0)
  if others >= b.cap then return answer(IN_FLIGHT, math.max(wait_ms, next_look_ms())) end
  b.tok = b.tok - cost
  save(b, {'tok', 'last'})
  redis.call('ZREMRANGEBYSCORE', slots_key, '-inf', text(now))
  if pass_on ~= '' then redis.call('ZREM', slots_key, pass_on) end
  redis.call('ZADD', slots_key, text(now + (wait_ms + hold_ms) * 1000), slot)
  started(breaker_key, breaker, slot, now)
  return answer(START, wait_ms)
end

local function throttled()
  local epoch, block_ms = tonumber(ARGV[6]), tonumber(ARGV[7])
  local b = open()
  settle(b)
  b.tok = math.min(b.tok, 0)
  b.block = math.max(b.block, now + block_ms * 1000)
  b.rate = rate_at(b, now)
  b.grow = math.max(now + COOL_US, b.block, b.grow)
  if epoch == b.ep then
    b.rate = math.max(math.min(b.rate, lowest(b.max)), b.rate * CUT)
    b.ep = b.ep + 1
  end
  save(b, {'tok', 'last', 'rate', 'grow', 'block', 'ep'})
  return {0}
end

local function configure()
  local wanted = fresh()
  local b = open()
  if b.max == wanted.max and b.burst == wanted.burst and b.cap == wanted.cap then return {0} end
  settle(b)
  b.rate = math.min(rate_at(b, now), wanted.max)
  b.grow = math.max(b.grow, now)
  b.max, b.burst, b.cap = wanted.max, wanted.burst, wanted.cap
  b.tok = math.min(b.tok, b.burst)
  -- Grow only after the last start already granted: a faster curve under it would let others overtake and crowd a window.
  local flat = {rate = b.rate, grow = math.huge, max = b.max, block = b.block}
  b.grow = math.max(b.grow, debt_paid_at(flat, b.tok))
  save(b, FIELDS)
  return {0}
end

local function state()
  local b = load() or fresh()
  local shift = math.max(0, b.last - now)
  b.last, b.grow, b.block = b.last - shift, b.grow - shift, b.block - shift
  settle(b)
  local in_flight = redis.call('ZCOUNT', slots_key, '(' .. text(now + shift), '+inf')
  local blocked_ms = math.max(0, math.ceil((b.block - now) / 1000))
  return {text(rate_at(b, now)), text(b.max), text(b.tok), text(b.burst), in_flight, text(b.cap), text(blocked_ms), text(b.ep)}
end

local function report() return report_to_breaker(breaker_key, now, ARGV[6], tonumber(ARGV[7]), ARGV[8] == '1', ARGV[9]) end
local function hold() return hold_breaker(breaker_key, now, ARGV[6]) end
local function close() return close_breaker(breaker_key, now) end
local function breaker() return breaker_state(breaker_key, slots_key, now) end

local operations = {acquire = acquire, throttled = throttled, configure = configure, state = state,
                    report = report, hold = hold, close = close, breaker = breaker}
return operations[operation]()

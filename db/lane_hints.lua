-- Which lanes are worth a look. One script, so that every step is atomic; all keys share the hash tag of KEYS[1].
--
--   KEYS[1] ready  ZSET lane -> the millisecond since which it waits (lowest first)
--   KEYS[2] held   ZSET lane -> the millisecond at which its drain is taken for dead
--   KEYS[3] again  SET  lanes that were marked while they were held
--
-- Time is the server's. Nothing here decides who owns a lane: the database does. A lost or wrong hint costs a second.
--
--   mark  lane...            the lanes have something to do
--   hurry boost_ms lane...   the lanes have something urgent to do: they count as waiting boost_ms longer than they do
--   claim cap hold_ms        the lane that waits longest, unless `cap` lanes are held; false when there is none
--   release lane again       its drain ended; again = 1 when it has more to do
--   hold  hold_ms lane...    their drains are alive
--   waiting                  how many lanes wait now

local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local ready, held, again = KEYS[1], KEYS[2], KEYS[3]
local verb = ARGV[1]

if verb == 'mark' then
  for i = 2, #ARGV do
    if redis.call('ZSCORE', held, ARGV[i]) then
      redis.call('SADD', again, ARGV[i])
    else
      redis.call('ZADD', ready, 'NX', now, ARGV[i])
    end
  end
  return 1
end

if verb == 'hurry' then
  for i = 3, #ARGV do
    -- Lower only: hurrying again and again moves no lane further back. One that is held goes on with what is urgent itself.
    if not redis.call('ZSCORE', held, ARGV[i]) then
      redis.call('ZADD', ready, 'LT', now - tonumber(ARGV[2]), ARGV[i])
    end
  end
  return 1
end

if verb == 'claim' then
  local dead = redis.call('ZRANGEBYSCORE', held, '-inf', now, 'LIMIT', 0, 20)
  for _, lane in ipairs(dead) do
    redis.call('ZREM', held, lane)
    redis.call('SREM', again, lane)
    redis.call('ZADD', ready, 'NX', now, lane)
  end
  if redis.call('ZCARD', held) >= tonumber(ARGV[2]) then return false end
  local first = redis.call('ZRANGE', ready, 0, 0)
  if #first == 0 then return false end
  redis.call('ZREM', ready, first[1])
  redis.call('ZADD', held, now + tonumber(ARGV[3]), first[1])
  return first[1]
end

if verb == 'release' then
  redis.call('ZREM', held, ARGV[2])
  local marked = redis.call('SREM', again, ARGV[2])
  if ARGV[3] == '1' or marked == 1 then redis.call('ZADD', ready, 'NX', now, ARGV[2]) end
  return 1
end

if verb == 'hold' then
  for i = 3, #ARGV do redis.call('ZADD', held, 'XX', now + tonumber(ARGV[2]), ARGV[i]) end
  return 1
end

if verb == 'waiting' then return redis.call('ZCARD', ready) end

return redis.error_reply('unknown verb ' .. verb)

-- One check-in: known roster? member? first? Then into the stream, with its receipt kept for repeats. All or nothing.
--
-- KEYS  1 roster (set of students)   2 seen (student -> receipt)   3 devices (device -> first student)   4 stream
-- ARGV  1 student   2 device, blank for none   3 receipt and 4 record if nothing speaks against it
--       5 receipt and 6 record for a review, blank for the same   7 the most records that the stream may hold
--
-- Answers  unknown             the keys of the session are not here: the database knows
--          seen, receipt       checked in before
--          stranger            not on the roster
--          full                the stream holds as much as it may
--          new, receipt, how   stored; how is accepted or review
--
-- The entry is added first: where the server refuses writes (full, read-only, disk) it refuses the first one, and nothing
-- has happened.
if redis.call('EXISTS', KEYS[1]) == 0 then
  return {'unknown'}
end
local seen = redis.call('HGET', KEYS[2], ARGV[1])
if seen then
  return {'seen', seen}
end
if redis.call('SISMEMBER', KEYS[1], ARGV[1]) == 0 then
  return {'stranger'}
end
if redis.call('XLEN', KEYS[4]) >= tonumber(ARGV[7]) then
  return {'full'}
end
local receipt, record, how = ARGV[3], ARGV[4], 'accepted'
if ARGV[2] ~= '' then
  local first = redis.call('HGET', KEYS[3], ARGV[2])
  if first and first ~= ARGV[1] and ARGV[6] ~= '' then
    receipt, record, how = ARGV[5], ARGV[6], 'review'
  end
end
redis.call('XADD', KEYS[4], '*', 'r', record, 'c', receipt)
redis.call('HSET', KEYS[2], ARGV[1], receipt)
if ARGV[2] ~= '' then
  redis.call('HSETNX', KEYS[3], ARGV[2], ARGV[1])
end
return {'new', receipt, how}

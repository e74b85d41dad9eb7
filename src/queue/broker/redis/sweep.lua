-- Forgets what has been kept long enough: records of tasks that ended, dead letters, keys of enqueues.
--
-- ARGV: limit done_limit done_age_ms dead_limit dead_age_ms key_age_ms
-- Result: {records, dead letters, keys} that were forgotten
local limit, done_limit, done_age, dead_limit, dead_age, key_age =
  number(1), number(2), number(3), number(4), number(5), number(6)
local clock, now = tick()
local records, letters, keys = 0, 0, 0
while records < limit do
  local id = call('LINDEX', DONE, 0)
  if not id then break end
  local run = named(id)
  if call('LLEN', DONE) <= done_limit and now - run.since <= done_age and not run.broken then break end
  call('LPOP', DONE)
  call('HDEL', RUN, id)
  call('HDEL', ERRORS, id)
  records = records + 1
end
while letters < limit do
  local head = call('ZRANGE', DEAD, 0, 0, 'WITHSCORES')
  if not head[1] then break end
  if call('ZCARD', DEAD) <= dead_limit and now - tonumber(head[2]) <= dead_age then break end
  call('ZREM', DEAD, head[1])
  count('dead', -1)
  done(head[1], named(head[1]), 'discarded')
  letters = letters + 1
end
-- A key is kept as long as its task is known. One whose task is known longer goes to the end of the line.
for _ = 1, limit do
  local head = call('LINDEX', KEY_AGES, 0)
  if not head then break end
  local at, key = string.match(head, '^(%d+) (.*)$')
  if now - tonumber(at) <= key_age then break end
  call('LPOP', KEY_AGES)
  local kept = call('HGET', IDEMPOTENCY, key)
  if kept and call('HEXISTS', RUN, string.match(kept, '(%S+)$')) == 1 then
    call('RPUSH', KEY_AGES, stamp .. ' ' .. key)
  else
    call('HDEL', IDEMPOTENCY, key)
    keys = keys + 1
  end
end
flush(clock)
return { records, letters, keys }

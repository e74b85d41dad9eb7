-- Returns the tasks of a process whose lease has expired.
--
-- ARGV: limit suspect_after crash_memory_ms
--       suspect_after: a task whose processes died this often within crash_memory_ms is a suspect
-- Result: {epoch or 0, who, how many tasks were returned, how many became suspects, how many dead letters}
local limit, suspect_after, memory = number(1), number(2), number(3)
local clock, now = tick()
local epoch = call('ZRANGEBYSCORE', EPOCHS, '-inf', int(clock), 'LIMIT', 0, 1)[1]
if not epoch then return { 0, '', 0, 0, 0 } end
local own, held, stop = TAG .. 'epoch|' .. epoch, TAG .. 'held|' .. epoch, TAG .. 'stop|' .. epoch
local who = call('HGET', own, 'who') or ''
-- From here on the epoch cannot settle, claim or renew: it never revives.
call('HDEL', own, 'secret')
local returned, suspects, dead = 0, 0, 0
local ids = call('HKEYS', held)
-- In the order in which they were made.
table.sort(ids)
ids = { unpack(ids, 1, math.min(#ids, limit)) }
fetch(ids)
for _, id in ipairs(ids) do
  local run = named(id)
  out_of_flight(run)
  count('reclaimed', 1)
  local ran_alone = string.match(run.extra, '^%d+/(.)/') == 'a'
  run.crashes = (now - run.crashed <= memory and run.crashes or 0) + 1
  run.crashed = stamp
  if run.broken then
    dead = dead + 1
    bury_broken(id, run)
  elseif call('SREM', stop, id) == 1 then
    done(id, run, 'cancelled')
  elseif ran_alone then
    dead = dead + 1
    bury(id, run, 'crashed', 'its process died while it ran alone: ' .. who)
  elseif run.crashes >= suspect_after then
    suspects = suspects + 1
    write(id, run, 'p', 's')
    call('ZADD', SUSPECTS, run.seq, id)
    count('pending', 1)
  else
    returned = returned + 1
    pending(id, run)
  end
end
call_many('HDEL', held, ids)
if call('EXISTS', held) == 0 then
  call('ZREM', EPOCHS, epoch)
  call('DEL', own, stop)
  if call('HGET', META, 'suspects_of') == epoch then call('HDEL', META, 'suspects_of') end
end
flush(clock)
wake(returned + suspects)
return { tonumber(epoch), who, returned, suspects, dead }

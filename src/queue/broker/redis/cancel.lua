-- Cancels a task.
--
-- ARGV: id
-- Result: `unknown`; `cancelled` (it was waiting); `stopping` (its worker was told); or `ended` (it has ended)
local id = ARGV[1]
local run = read(id)
if not run or run.broken then return 'unknown' end
local clock = tick()
if run.state == 'p' then
  out_of_lane(id, run, clock)
elseif run.state == 'w' then
  call('ZREM', DELAYED, id)
  count('delayed', -1)
elseif run.state == 'f' then
  call('SADD', TAG .. 'stop|' .. string.match(run.extra, '^(%d+)'), id)
  return 'stopping'
else
  return 'ended'
end
done(id, run, 'cancelled')
flush(clock)
return 'cancelled'

-- Moves delayed tasks whose time has come into their lanes, and opens scopes whose rate allows a start again.
--
-- ARGV: limit
-- Result: {how many were moved, ms until the next is due or -1}
local limit = number(1)
local clock, now = tick()
thaw(clock)
local ids = call('ZRANGEBYSCORE', DELAYED, '-inf', int(now), 'LIMIT', 0, limit)
fetch(ids)
for _, id in ipairs(ids) do
  local run = named(id)
  count('delayed', -1)
  if run.broken then
    bury_broken(id, run)
  else
    -- It is ready since it was due, not since it was noticed.
    pending(id, run, run.extra)
  end
end
call_many('ZREM', DELAYED, ids)
flush(clock)
wake(#ids)
local next_due = call('ZRANGE', DELAYED, 0, 0, 'WITHSCORES')[2]
return { #ids, next_due and math.max(tonumber(next_due) - now, 0) or -1 }

-- Starts a delayed task without waiting for its time.
--
-- ARGV: id
-- Result: `unknown`, `moved`, `pending` or `in_flight` (nothing to do), or `ended`
local id = ARGV[1]
local run = read(id)
if not run or run.broken then return 'unknown' end
if run.state == 'p' then return 'pending' end
if run.state == 'f' then return 'in_flight' end
if run.state ~= 'w' then return 'ended' end
local clock = tick()
call('ZREM', DELAYED, id)
count('delayed', -1)
pending(id, run)
flush(clock)
wake(1)
return 'moved'

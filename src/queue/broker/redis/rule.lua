-- Sets what a scope allows: `*` (the queue; only a pause), `t|TYPE` or `g|GROUP`.
--
-- ARGV: scope paused in_flight_limit interval_us burst (0: none)
-- Result: 1
local scope, paused, limit, interval, burst = ARGV[1], number(2), number(3), number(4), number(5)
if scope ~= '*' and not string.match(scope, '^[tg]|.+$') then error({ err = 'BADARG scope' }) end
local clock = tick()
if paused == 0 and limit == 0 and interval == 0 then
  call('HDEL', RULES, scope)
else
  call('HSET', RULES, scope, table.concat({ int(paused), int(limit), int(interval), int(burst) }, ' '))
end
call('HDEL', USED, scope)
call('ZREM', THROTTLED, scope)
reopen(scope, clock)
wake(WAKE_LIMIT)
return 1

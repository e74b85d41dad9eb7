-- Changes what a scope allows: `*` (the queue; only a pause), `t|TYPE` or `g|GROUP`.
--
-- ARGV: scope paused in_flight_limit interval_us burst; each `` to leave it as it is; 0: none
-- Result: the rule in force (PAUSED LIMIT INTERVAL_US BURST), or `no_rate` (a burst, and no rate): nothing was changed
local scope = ARGV[1]
if scope ~= '*' and not string.match(scope, '^[tg]|.+$') then error({ err = 'BADARG scope' }) end
local kept = { string.match(call('HGET', RULES, scope) or '0 0 0 0', '^(%d) (%d+) (%d+) (%d+)$') }
local rule = {}
for i = 1, 4 do rule[i] = ARGV[i + 1] == '' and tonumber(kept[i]) or number(i + 1) end
local paused, limit, interval, burst = unpack(rule)
if ARGV[5] ~= '' and burst > 0 and interval == 0 then return 'no_rate' end
if interval > 0 then burst = math.max(burst, 1) else burst = 0 end
local clock = tick()
local line = table.concat({ int(paused), int(limit), int(interval), int(burst) }, ' ')
if paused == 0 and limit == 0 and interval == 0 then
  call('HDEL', RULES, scope)
else
  call('HSET', RULES, scope, line)
end
-- What was started counts on under the same rate.
if interval ~= tonumber(kept[3]) or burst ~= tonumber(kept[4]) then
  call('HDEL', USED, scope)
  call('ZREM', THROTTLED, scope)
end
reopen(scope, clock)
flush(clock)
wake(WAKE_LIMIT)
return line

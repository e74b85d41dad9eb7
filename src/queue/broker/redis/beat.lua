-- Renews the lease of a process.
--
-- ARGV: epoch secret lease_ms
-- Result: {`expired`}, or {`alive`, its last round, how many tasks it holds, then the ids that it is to cancel}
local epoch, secret, lease = ARGV[1], ARGV[2], number(3)
local clock = tick()
local expires = tonumber(call('ZSCORE', EPOCHS, epoch) or -1)
local own = call('HMGET', TAG .. 'epoch|' .. epoch, 'secret', 'round')
if own[1] ~= secret or expires <= clock then return { 'expired' } end
call('ZADD', EPOCHS, int(clock + lease), epoch)
local result = { 'alive', own[2], call('HLEN', TAG .. 'held|' .. epoch) }
for _, id in ipairs(call('SMEMBERS', TAG .. 'stop|' .. epoch)) do result[#result + 1] = id end
return result

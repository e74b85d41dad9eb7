-- Gives a worker process a lease of its own.
--
-- ARGV: secret lease_ms who
-- Result: the number of the epoch
local secret, lease, who = ARGV[1], number(2), ARGV[3]
if secret == '' then error({ err = 'BADARG secret' }) end
local clock, now = tick()
local epoch = call('HINCRBY', META, 'epoch', 1)
call('HSET', TAG .. 'epoch|' .. epoch, 'secret', secret, 'who', who, 'since', int(now), 'round', '0')
call('ZADD', EPOCHS, int(clock + lease), epoch)
return epoch

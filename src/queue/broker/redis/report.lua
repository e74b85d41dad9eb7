-- Keeps what a process says of itself beside its lease, and goes with it.
--
-- ARGV: epoch secret handles account
-- Result: 1 if its lease is alive, else 0
local own = TAG .. 'epoch|' .. ARGV[1]
if call('HGET', own, 'secret') ~= ARGV[2] then return 0 end
call('HSET', own, 'handles', ARGV[3], 'account', ARGV[4])
return 1

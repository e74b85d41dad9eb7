-- Ends the lease of a process that stops. What it still holds is returned by the reaper, uncharged by `back` before.
--
-- ARGV: epoch secret
-- Result: 1 if it was alive, else 0
local epoch, secret = ARGV[1], ARGV[2]
local own = TAG .. 'epoch|' .. epoch
if call('HGET', own, 'secret') ~= secret then return 0 end
if call('HGET', META, 'suspects_of') == epoch then call('HDEL', META, 'suspects_of') end
if call('EXISTS', TAG .. 'held|' .. epoch) == 0 then
  call('ZREM', EPOCHS, epoch)
  call('DEL', own, TAG .. 'stop|' .. epoch)
else
  call('ZADD', EPOCHS, 0, epoch)
end
return 1

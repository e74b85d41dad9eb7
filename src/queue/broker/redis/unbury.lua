-- Replays or discards dead letters.
--
-- ARGV: act (`replay` or `discard`), then ids
-- Result: how many; an id that is no dead letter is passed over
local act = ARGV[1]
if act ~= 'replay' and act ~= 'discard' then error({ err = 'BADARG act' }) end
local clock = tick()
local moved = 0
for i = 2, #ARGV do
  local id = ARGV[i]
  if call('ZREM', DEAD, id) == 1 then
    local run = named(id)
    count('dead', -1)
    if act == 'replay' then
      -- It starts anew, also its budgets of failures and crashes.
      run.failures, run.crashes, run.crashed = 0, 0, 0
      call('HDEL', ERRORS, id)
      count('replayed', 1)
      pending(id, run)
    else
      done(id, run, 'discarded')
    end
    moved = moved + 1
  end
end
flush(clock)
if act == 'replay' then wake(moved) end
return moved

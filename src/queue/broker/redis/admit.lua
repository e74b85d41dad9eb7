-- Moves the oldest elements of the raw list into the queue, as long as they are the ones that were read.
--
-- ARGV: tasks_limit bytes_limit types_limit n, then n times, oldest first:
--         length element act id lane delay deadline record error
--       element: its first bytes, as `peek` returned them; act: `task`, or `dead` for what is no valid task;
--       delay: as in `enqueue`
-- Result: how many were moved; the rest stays: another process moved them, or the queue is full
local tasks_limit, bytes_limit, types_limit, n = number(1), number(2), number(3), number(4)
if #ARGV ~= 4 + n * 9 then error({ err = 'BADARG count' }) end
local elements = {}
for i = 0, n - 1 do
  local at = 5 + i * 9
  local element = { length = number(at), text = ARGV[at + 1], act = ARGV[at + 2], id = ARGV[at + 3],
    lane = ARGV[at + 4], delay = ARGV[at + 5], deadline = ARGV[at + 6], record = ARGV[at + 7], error = ARGV[at + 8] }
  number(at + 6)
  if not parts(element.lane) then error({ err = 'BADARG lane' }) end
  if element.delay ~= '' and not string.match(element.delay, '^[+@]%d+$') then error({ err = 'BADARG delay' }) end
  elements[#elements + 1] = element
end
-- Nothing was written until here.
local clock = tick()
local have = call('HMGET', COUNT, 'pending', 'in_flight', 'delayed', 'dead', 'bytes')
local live = tonumber(have[1] or 0) + tonumber(have[2] or 0) + tonumber(have[3] or 0) + tonumber(have[4] or 0)
local bytes, moved, ready = tonumber(have[5] or 0), 0, 0
for _, element in ipairs(elements) do
  local last = call('LINDEX', INBOX, -1)
  if not last or #last ~= element.length or string.sub(last, 1, #element.text) ~= element.text then break end
  if live + 1 > tasks_limit or bytes + #element.record > bytes_limit then break end
  local _, kind = parts(element.lane)
  if call('SISMEMBER', TYPES, kind) == 0 then
    if element.act == 'task' and call('SCARD', TYPES) >= types_limit then
      element.act, element.error = 'dead', 'the queue knows as many types as it may'
    else
      call('SADD', TYPES, kind)
    end
  end
  call('RPOP', INBOX)
  local run = fresh_run(int(call('HINCRBY', META, 'seq', 1)), element.deadline, element.lane)
  call('HSET', TASK, element.id, element.record)
  count('enqueued', 1)
  count('bytes', #element.record)
  live, bytes, moved = live + 1, bytes + #element.record, moved + 1
  local due = place(element, run)
  if element.act == 'task' and not due then ready = ready + 1 end
end
flush(clock)
wake(ready)
return moved

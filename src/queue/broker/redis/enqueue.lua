-- Takes tasks into the queue.
--
-- ARGV: tasks_limit bytes_limit types_limit mode n, then n times:
--         id lane delay deadline record key fingerprint
--       mode: `all` (all or nothing) or `each`; delay: `` (none), `+MS` (from now) or `@MS` (at that time);
--       key: `` if none.
-- Result: {`full`}, or {`taken`|`refused`, then n times code and id}. Codes: queued; known (this id is in the queue
--       already: it was sent again); same (the key's task, its id beside it); conflict (the key's task is another);
--       types (too many types). `refused`: mode `all`, and a code is conflict or types; nothing was written.
local tasks_limit, bytes_limit, types_limit, mode, n = number(1), number(2), number(3), ARGV[4], number(5)
if #ARGV ~= 5 + n * 7 then error({ err = 'BADARG count' }) end
local result, fresh, refused = { 'taken' }, {}, false
local bytes, new_types, new_count, keys, ids = 0, {}, call('SCARD', TYPES), {}, {}
for i = 0, n - 1 do
  local at = 6 + i * 7
  local task = { id = ARGV[at], lane = ARGV[at + 1], delay = ARGV[at + 2], deadline = number(at + 3),
    record = ARGV[at + 4], key = ARGV[at + 5], fingerprint = ARGV[at + 6] }
  local rank, kind = parts(task.lane)
  if not rank then error({ err = 'BADARG lane' }) end
  if task.delay ~= '' and not string.match(task.delay, '^[+@]%d+$') then error({ err = 'BADARG delay' }) end
  local code, id = 'queued', task.id
  local print, of = nil, nil
  if task.key ~= '' then
    local kept = keys[task.key] or call('HGET', IDEMPOTENCY, task.key)
    if kept then print, of = string.match(kept, '^(%S+) (%S+)$') end
  end
  if print then
    code, id = print == task.fingerprint and 'same' or 'conflict', of
    if of == task.id then code = 'known' end
  elseif ids[id] or call('HEXISTS', RUN, id) == 1 then
    code = 'known'
  elseif not new_types[kind] and call('SISMEMBER', TYPES, kind) == 0 then
    if new_count >= types_limit then
      code = 'types'
    else
      new_types[kind], new_count = true, new_count + 1
    end
  end
  if code == 'queued' then
    fresh[#fresh + 1] = task
    ids[id] = true
    bytes = bytes + #task.record
    if task.key ~= '' then keys[task.key] = task.fingerprint .. ' ' .. id end
  end
  refused = refused or code == 'conflict' or code == 'types'
  result[#result + 1] = code
  result[#result + 1] = id
end
if refused and mode == 'all' then
  result[1] = 'refused'
  return result
end
local have = call('HMGET', COUNT, 'pending', 'in_flight', 'delayed', 'dead', 'bytes')
local live = tonumber(have[1] or 0) + tonumber(have[2] or 0) + tonumber(have[3] or 0) + tonumber(have[4] or 0)
if #fresh > 0 and (live + #fresh > tasks_limit or tonumber(have[5] or 0) + bytes > bytes_limit) then
  return { 'full' }
end
-- Nothing was written until here. What was known before is written about too: WAIT counts the writes of its connection.
local clock, now = tick()
for kind in pairs(new_types) do call('SADD', TYPES, kind) end
local ready = 0
for _, task in ipairs(fresh) do
  local run = { delivery = 0, failures = 0, crashes = 0, crashed = 0, deadline = task.deadline,
    seq = call('HINCRBY', META, 'seq', 1), enqueued = now, lane = task.lane }
  call('HSET', TASK, task.id, task.record)
  count('enqueued', 1)
  if task.key ~= '' then
    call('HSET', IDEMPOTENCY, task.key, task.fingerprint .. ' ' .. task.id)
    call('RPUSH', KEY_AGES, int(now) .. ' ' .. task.key)
  end
  if not place(task, run, clock, now) then ready = ready + 1 end
end
count('bytes', bytes)
flush(clock)
wake(ready)
return result

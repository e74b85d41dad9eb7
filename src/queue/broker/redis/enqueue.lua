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
local tasks, by_key, by_id, kinds, keys = {}, {}, {}, {}, {}
for i = 0, n - 1 do
  local at = 6 + i * 7
  local task = { id = ARGV[at], lane = ARGV[at + 1], delay = ARGV[at + 2], deadline = ARGV[at + 3],
    record = ARGV[at + 4], key = ARGV[at + 5], fingerprint = ARGV[at + 6] }
  local rank, kind = parts(task.lane)
  if not rank then error({ err = 'BADARG lane' }) end
  if task.delay ~= '' and not string.match(task.delay, '^[+@]%d+$') then error({ err = 'BADARG delay' }) end
  number(at + 3)
  task.kind = kind
  tasks[i + 1], by_id[i + 1] = task, task.id
  if kinds[kind] == nil then
    kinds[kind] = false
    kinds[#kinds + 1] = kind
  end
  if task.key ~= '' then by_key[#by_key + 1] = task.key end
end
fetch(by_id)
for i, is_member in ipairs(ask_many('SMISMEMBER', TYPES, kinds)) do kinds[kinds[i]] = is_member == 1 end
for i, kept in ipairs(ask_many('HMGET', IDEMPOTENCY, by_key)) do keys[by_key[i]] = kept end
local bytes, new_types, types_count = 0, {}, nil
local ids = {}
for i, task in ipairs(tasks) do
  local code, id, kept = 'queued', task.id, keys[task.key]
  local print, of = string.match(kept or '', '^(%S+) (%S+)$')
  if print then
    code, id = print == task.fingerprint and 'same' or 'conflict', of
    if of == task.id then code = 'known' end
  elseif ids[id] or lines[id] then
    code = 'known'
  elseif not kinds[task.kind] then
    types_count = types_count or call('SCARD', TYPES)
    if types_count + #new_types >= types_limit then
      code = 'types'
    else
      kinds[task.kind] = true
      new_types[#new_types + 1] = task.kind
    end
  end
  if code == 'queued' then
    fresh[#fresh + 1] = task
    ids[id] = true
    bytes = bytes + #task.record
    if task.key ~= '' then keys[task.key] = task.fingerprint .. ' ' .. id end
  end
  refused = refused or code == 'conflict' or code == 'types'
  result[2 * i] = code
  result[2 * i + 1] = id
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
local clock = tick()
call_many('SADD', TYPES, new_types)
local seq = #fresh > 0 and call('HINCRBY', META, 'seq', #fresh) - #fresh
local ready, records, kept, ages = 0, {}, {}, {}
for i, task in ipairs(fresh) do
  local run = fresh_run(int(seq + i), task.deadline, task.lane)
  records[2 * i - 1], records[2 * i] = task.id, task.record
  if task.key ~= '' then
    kept[#kept + 1] = task.key
    kept[#kept + 1] = keys[task.key]
    ages[#ages + 1] = stamp .. ' ' .. task.key
  end
  if not place(task, run) then ready = ready + 1 end
end
call_many('HSET', TASK, records, 2)
call_many('HSET', IDEMPOTENCY, kept, 2)
call_many('RPUSH', KEY_AGES, ages)
count('enqueued', #fresh)
count('bytes', bytes)
flush(clock)
wake(ready)
return result

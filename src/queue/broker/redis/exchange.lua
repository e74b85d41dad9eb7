-- Settles attempts that have ended and claims tasks: the one script by which a worker does both.
--
-- ARGV: epoch secret round want s, then s times: id delivery act number text; then k and k types
--       act: success, retry, snooze, back, bury, cancelled; number: a delay in milliseconds; text: an error, for
--       bury: REASON and the error after a space; k = 0: tasks of any type.
-- Result: {`expired`}, or {`late`} (a later round was carried out), or {`done`, alone, wait, s, s codes, then for each
--       claimed task: id run record}
--       codes: applied; cancelled (it was to be cancelled: that is how it ended); stale (another attempt has the task)
--       alone: `no`; `empty` (claim nothing, and come back with nothing in flight); `yes` (the one claimed task is a
--       suspect: run it alone)
--       wait: milliseconds until a rate that is used up allows the next start, or -1
-- A round that was carried out before gets the same answer again.
local epoch, secret, round, want, s = ARGV[1], ARGV[2], number(3), number(4), number(5)
local base = 6 + s * 5
local k = number(base)
if #ARGV ~= base + k then error({ err = 'BADARG count' }) end
local acts = { success = true, retry = true, snooze = true, back = true, bury = true, cancelled = true }
for i = 0, s - 1 do
  if not acts[ARGV[8 + i * 5]] then error({ err = 'BADARG act' }) end
  number(7 + i * 5)
  number(9 + i * 5)
end
local types = nil
if k > 0 then
  types = {}
  for i = 1, k do types[i] = ARGV[base + i] end
end
local clock, now = tick()
local own, held, stop = TAG .. 'epoch|' .. epoch, TAG .. 'held|' .. epoch, TAG .. 'stop|' .. epoch
local lease = call('HMGET', own, 'secret', 'round', 'answer', 'codes', 'alone')
if lease[1] ~= secret or tonumber(call('ZSCORE', EPOCHS, epoch) or -1) <= clock then return { 'expired' } end

local codes, claimed, deliveries, alone, wait = {}, {}, {}, 'no', -1
local function answer(payloads)
  local result = { 'done', alone, wait, s }
  for i = 1, s do result[4 + i] = codes[i] end
  local at = 4 + s
  for i, id in ipairs(claimed) do
    result[at + 1], result[at + 2], result[at + 3] = id, lines[id], payloads[i]
    at = at + 3
  end
  return result
end
if tonumber(lease[2]) == round then
  for code in string.gmatch(lease[4] or '', '%S+') do codes[#codes + 1] = code end
  for id in string.gmatch(lease[3] or '', '%S+') do
    if call('HEXISTS', held, id) == 1 then claimed[#claimed + 1] = id end
  end
  alone = lease[5] or 'no'
  if #codes ~= s then error({ err = 'BADARG round' }) end
  fetch(claimed)
  return answer(ask_many('HMGET', TASK, claimed))
end

-- A request that was delayed on its way must not claim tasks that nobody waits for.
if round ~= tonumber(lease[2]) + 1 then return { 'late' } end
local settled = {}
for i = 0, s - 1 do settled[i + 1] = ARGV[6 + i * 5] end
local holding, stopped = ask_many('HMGET', held, settled), ask_many('SMISMEMBER', stop, settled)
fetch(settled)
local moved_back, landed, is_settled = 0, {}, {}
for i = 0, s - 1 do
  local id, delivery, act = ARGV[6 + i * 5], ARGV[7 + i * 5], ARGV[8 + i * 5]
  local delay, text = tonumber(ARGV[9 + i * 5]), ARGV[10 + i * 5]
  local code = 'stale'
  -- What the process holds: the number of the delivery, and the bytes of what the task's handler got.
  local token, bytes = string.match(holding[i + 1] or '', '^(%d+) ?(%d*)$')
  if token == delivery and not is_settled[id] then
    local run = named(id)
    code = 'applied'
    is_settled[id] = true
    landed[#landed + 1] = id
    out_of_flight(run)
    if stopped[i + 1] == 1 then
      code = 'cancelled'
      done(id, run, 'cancelled', bytes)
    elseif act == 'success' then
      done(id, run, 'succeeded', bytes)
    elseif act == 'cancelled' then
      done(id, run, 'cancelled', bytes)
    elseif act == 'back' then
      pending(id, run)
      moved_back = moved_back + 1
    elseif act == 'snooze' then
      delayed(id, run, now + delay)
    elseif act == 'retry' then
      run.failures = run.failures + 1
      if text ~= '' then call('HSET', ERRORS, id, text) end
      count('retried', 1)
      delayed(id, run, now + delay)
    else
      local reason, said = string.match(text, '^(%S+) ?(.*)$')
      if reason ~= 'crashed' then run.failures = run.failures + 1 end
      bury(id, run, reason, said)
    end
  end
  codes[i + 1] = code
end
call_many('HDEL', held, landed)
call_many('SREM', stop, landed)
open_lanes(clock)
settle_scopes(clock)
thaw(clock)

-- The token of suspects: one process at a time empties itself and runs them alone.
local function suspect()
  if call('ZCARD', SUSPECTS) == 0 then return nil end
  if room('*', clock) == 0 then return nil end
  for _, id in ipairs(call('ZRANGE', SUSPECTS, 0, 99)) do
    local run = named(id)
    local _, kind, group = parts(run.lane)
    local handled = not types
    for i = 1, k do handled = handled or types[i] == kind end
    if handled and room('t|' .. kind, clock) > 0 and (group == '' or room('g|' .. group, clock) > 0) then
      return id, run
    end
  end
end
local function claim(id, run, mark)
  run.delivery = run.delivery == '0' and '1' or int(run.delivery + 1)
  claimed[#claimed + 1], deliveries[#claimed + 1] = id, run.delivery
  -- EXTRA of a task in flight: the epoch, whether it runs alone, and since when it was ready.
  write(id, run, 'f', epoch .. '/' .. mark .. '/' .. run.since)
  count('pending', -1)
  count('in_flight', 1)
end
local state = call('HMGET', META, 'suspects_of', 'pass1', 'pass2', 'pass3')
local holder = state[1]
local holds = call('HLEN', held)
if not holder or holder == epoch then
  local id, run = suspect()
  if holder and (not id or want == 0) and holds == 0 then
    call('HDEL', META, 'suspects_of')
  elseif id and (holder or want > 0) then
    call('HSET', META, 'suspects_of', epoch)
    alone = 'empty'
    if holds == 0 then
      alone = 'yes'
      call('ZREM', SUSPECTS, id)
      local _, kind, group = parts(run.lane)
      claim(id, run, 'a')
      for _, scope in ipairs(group == '' and { 't|' .. kind } or { 't|' .. kind, 'g|' .. group }) do
        fly(scope, 1)
        if scopes[scope].ruled then reopen(scope, clock) end
      end
    end
  elseif holder then
    -- Something still runs alone.
    alone = 'empty'
  end
end

-- The rings as they are looked at here: per rank the types with their turn, at most KNOWN of them, and per type its
-- first lane. What a turn changes in them is written by `put_back`, together.
local KNOWN = 32
local heads, nexts, firsts, moved = {}, {}, {}, {}
local function put_back()
  for rank, kinds in pairs(moved) do
    for kind in pairs(kinds) do
      local first = firsts[rank .. kind]
      call('ZADD', ring(rank, kind), first.turn, first.group)
      call('ZADD', ring(rank), first.turn, kind)
    end
  end
  heads, nexts, firsts, moved = {}, {}, {}, {}
end
local function look(rank)
  local turns = {}
  if types then
    for i, score in ipairs(ask_many('ZMSCORE', ring(rank), types)) do
      if score then turns[types[i]] = tonumber(score) end
    end
  else
    local first = call('ZRANGE', ring(rank), 0, KNOWN - 1, 'WITHSCORES')
    for i = 1, #first, 2 do turns[first[i]] = tonumber(first[i + 1]) end
  end
  heads[rank] = turns
end
-- The type of a rank whose turn it is.
local function candidate(rank)
  if nexts[rank] == nil then
    if not heads[rank] then look(rank) end
    local best, earliest = false, HUGE
    for kind, at in pairs(heads[rank]) do
      if at < earliest then best, earliest = kind, at end
    end
    nexts[rank] = best
  end
  return nexts[rank]
end
-- The lane of a type whose turn it is: its group, how many wait in it, and whether it is the only one; nil if the type's
-- ring was lost.
local function first_of(rank, kind)
  local first = firsts[rank .. kind]
  if not first then
    local groups = call('ZRANGE', ring(rank, kind), '0', '1')
    if not groups[1] then return nil end
    local key = TAG .. 'lane|' .. rank .. '|' .. kind .. '|' .. groups[1]
    first = { group = groups[1], is_only = not groups[2], key = key, length = call('ZCARD', key) }
    firsts[rank .. kind] = first
  end
  return first
end

local STRIDES = { 5, 10, 30 }
if alone == 'no' and want > 0 and room('*', clock) > 0 then
  -- A lane's turn is a sixteenth of what is wanted, so that one exchange visits few lanes.
  local quantum = math.max(1, math.floor(want / 16))
  -- Tasks past their deadline are taken out on the way, at most this many.
  local budget = 100
  if types then
    local names = {}
    for i = 1, k do names[i] = 't|' .. types[i] end
    know(names)
  end
  local pass = {}
  for rank = 1, 3 do pass[rank] = tonumber(state[rank + 1] or 0) end
  while want > 0 and budget > 0 do
    local kinds, turn_of = {}, nil
    for rank = 1, 3 do
      kinds[rank] = candidate(RANKS[rank])
      if kinds[rank] and (not turn_of or pass[rank] < pass[turn_of]) then turn_of = rank end
    end
    if not turn_of then break end
    -- A priority without a lane saves nothing up.
    for rank = 1, 3 do
      if not kinds[rank] then pass[rank] = math.max(pass[rank], pass[turn_of]) end
    end
    local rank, kind = RANKS[turn_of], kinds[turn_of]
    local first = first_of(rank, kind)
    -- A lost ring must stop nobody: its type is passed over until the audit has mended it.
    while not first do
      put_back()
      outer(rank, kind, clock)
      kind = candidate(rank)
      if not kind then break end
      first = first_of(rank, kind)
    end
    if not first then break end
    local of = { 't|' .. kind }
    if first.group ~= '' then of[2] = 'g|' .. first.group end
    local take, got, popped = math.min(want, quantum), 0, {}
    for _, scope in ipairs(of) do take = math.min(take, room(scope, clock)) end
    if take > 0 then popped = call('ZPOPMIN', first.key, take) end
    local ids = {}
    for i = 1, #popped, 2 do ids[#ids + 1] = popped[i] end
    fetch(ids)
    for i, id in ipairs(ids) do
      local run = read(id)
      if not run or run.broken then
        count('pending', -1)
        bury_broken(id, lost(rank .. '|' .. kind .. '|' .. first.group, popped[2 * i]))
      elseif run.deadline ~= '0' and tonumber(run.deadline) <= now then
        count('pending', -1)
        done(id, run, 'expired')
      else
        claim(id, run, '-')
        got = got + 1
      end
    end
    want, budget = want - got, budget - #ids
    pass[turn_of] = pass[turn_of] + STRIDES[turn_of] * got
    first.length = first.length - #ids
    local is_full = false
    for _, scope in ipairs(of) do
      fly(scope, got)
      use_up(scope, got, clock)
      is_full = is_full or room(scope, clock) == 0
    end
    -- Its lane goes to the end of the line, unless nothing waits in it.
    if first.length > 0 then
      first.turn = next_turn()
      heads[rank][kind], nexts[rank] = turn, nil
      moved[rank] = moved[rank] or {}
      moved[rank][kind] = true
    end
    if first.length <= 0 or is_full or not first.is_only or not types then
      put_back()
      if first.length <= 0 then after_lane(rank .. '|' .. kind .. '|' .. first.group, clock) end
      for _, scope in ipairs(of) do
        if room(scope, clock) == 0 then reopen(scope, clock) end
      end
      outer(rank, kind, clock)
    end
  end
  put_back()
  call('HSET', META, 'pass1', int(pass[1]), 'pass2', int(pass[2]), 'pass3', int(pass[3]))
  local next_start = want > 0 and call('ZRANGE', THROTTLED, 0, 0, 'WITHSCORES')[2]
  if next_start then wait = math.max(math.ceil(next_start / 1000 - clock), 1) end
end
local payloads = ask_many('HMGET', TASK, claimed)
local holding_now = {}
for i, id in ipairs(claimed) do
  holding_now[2 * i - 1] = id
  holding_now[2 * i] = deliveries[i] .. ' ' .. #(payloads[i] or '')
end
call_many('HSET', held, holding_now, 2)
flush(clock)
wake(moved_back)
call('HSET', own, 'round', round, 'answer', table.concat(claimed, ' '), 'codes', table.concat(codes, ' '), 'alone', alone)
return answer(payloads)

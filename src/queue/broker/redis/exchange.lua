-- Settles attempts that have ended and claims tasks: the one script by which a worker does both.
--
-- ARGV: epoch secret round want s, then s times: id delivery act number text; then k and k types
--       act: success, retry, snooze, back, bury, cancelled; number: a delay in milliseconds; text: an error, for
--       bury: REASON and the error after a space; k = 0: tasks of any type.
-- Result: {`expired`}, or {`late`} (a later round was carried out), or {`done`, alone, s, s codes, then for each claimed task: id run record}
--       codes: applied; cancelled (it was to be cancelled: that is how it ended); stale (another attempt has the task)
--       alone: `no`; `empty` (claim nothing, and come back with nothing in flight); `yes` (the one claimed task is a
--       suspect: run it alone)
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

local codes, claimed, alone = {}, {}, 'no'
local function answer()
  local result = { 'done', alone, s }
  for i = 1, s do result[#result + 1] = codes[i] end
  for _, id in ipairs(claimed) do
    if call('HEXISTS', held, id) == 1 then
      result[#result + 1] = id
      result[#result + 1] = call('HGET', RUN, id)
      result[#result + 1] = call('HGET', TASK, id)
    end
  end
  return result
end
if tonumber(lease[2]) == round then
  for code in string.gmatch(lease[4] or '', '%S+') do codes[#codes + 1] = code end
  for id in string.gmatch(lease[3] or '', '%S+') do claimed[#claimed + 1] = id end
  alone = lease[5] or 'no'
  if #codes ~= s then error({ err = 'BADARG round' }) end
  return answer()
end

-- A request that was delayed on its way must not claim tasks that nobody waits for.
if round ~= tonumber(lease[2]) + 1 then return { 'late' } end
local moved_back = 0
for i = 0, s - 1 do
  local id, delivery, act = ARGV[6 + i * 5], tonumber(ARGV[7 + i * 5]), ARGV[8 + i * 5]
  local delay, text = tonumber(ARGV[9 + i * 5]), ARGV[10 + i * 5]
  local code = 'stale'
  if tonumber(call('HGET', held, id) or -1) == delivery then
    local run = read(id)
    code = 'applied'
    out_of_flight(id, epoch, run.lane)
    if call('SREM', stop, id) == 1 then
      code = 'cancelled'
      done(id, run, 'cancelled', now)
    elseif act == 'success' then
      done(id, run, 'succeeded', now)
    elseif act == 'cancelled' then
      done(id, run, 'cancelled', now)
    elseif act == 'back' then
      pending(id, run, now, clock)
      moved_back = moved_back + 1
    elseif act == 'snooze' then
      delayed(id, run, now + delay, now)
    elseif act == 'retry' then
      run.failures = run.failures + 1
      if text ~= '' then call('HSET', ERRORS, id, text) end
      count('retried', 1)
      delayed(id, run, now + delay, now)
    else
      local reason, said = string.match(text, '^(%S+) ?(.*)$')
      if reason ~= 'crashed' then run.failures = run.failures + 1 end
      bury(id, run, reason, said, now)
    end
  end
  codes[i + 1] = code
end
settle_scopes(clock)
thaw(clock)

-- The token of suspects: one process at a time empties itself and runs them alone.
local function suspect()
  if call('ZCARD', SUSPECTS) == 0 then return nil end
  if room('*', clock) == 0 then return nil end
  for _, id in ipairs(call('ZRANGE', SUSPECTS, 0, 99)) do
    local run = read(id)
    local _, kind, group = parts(run.lane)
    local handled = not types
    for i = 1, k do handled = handled or types[i] == kind end
    if handled and room('t|' .. kind, clock) > 0 and (group == '' or room('g|' .. group, clock) > 0) then
      return id, run
    end
  end
end
local function claim(id, run, mark)
  run.delivery = run.delivery + 1
  claimed[#claimed + 1] = id
  local ready = run.since
  call('HSET', held, id, int(run.delivery))
  -- EXTRA of a task in flight: the epoch, whether it runs alone, and since when it was ready.
  write(id, run, 'f', epoch .. '/' .. mark .. '/' .. int(ready), now)
  count('pending', -1)
  count('in_flight', 1)
end
local holder = call('HGET', META, 'suspects_of')
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
      call('HINCRBY', IN_FLIGHT, 't|' .. kind, 1)
      if group ~= '' then call('HINCRBY', IN_FLIGHT, 'g|' .. group, 1) end
      claim(id, run, 'a')
      for _, scope in ipairs({ 't|' .. kind, 'g|' .. group }) do
        if call('HEXISTS', RULES, scope) == 1 then reopen(scope, clock) end
      end
    end
  elseif holder then
    -- Something still runs alone.
    alone = 'empty'
  end
end

-- The type of a rank whose turn it is.
local function candidate(rank)
  if not types then return call('ZRANGE', ring(rank), 0, 0)[1] end
  local best, turn = nil, HUGE
  for i, score in ipairs(call('ZMSCORE', ring(rank), unpack(types))) do
    local at = score and tonumber(score)
    if at and at < turn then best, turn = types[i], at end
  end
  return best
end
local STRIDES = { 5, 10, 30 }
if alone == 'no' and want > 0 and room('*', clock) > 0 then
  -- A lane's turn is a sixteenth of what is wanted, so that one exchange visits few lanes.
  local quantum = math.max(1, math.floor(want / 16))
  -- Tasks past their deadline are taken out on the way, at most this many.
  local budget = 500
  local pass = call('HMGET', META, 'pass1', 'pass2', 'pass3')
  for rank = 1, 3 do pass[rank] = tonumber(pass[rank] or 0) end
  while want > 0 and budget > 0 do
    local heads, first = {}, nil
    for rank = 1, 3 do
      heads[rank] = candidate(tostring(rank))
      if heads[rank] and (not first or pass[rank] < pass[first]) then first = rank end
    end
    if not first then break end
    -- A priority without a lane saves nothing up.
    for rank = 1, 3 do
      if not heads[rank] then pass[rank] = math.max(pass[rank], pass[first]) end
    end
    local rank, kind = tostring(first), heads[first]
    local group = call('ZRANGE', ring(rank, kind), 0, 0)[1]
    local lane = rank .. '|' .. kind .. '|' .. group
    local scopes = { 't|' .. kind }
    if group ~= '' then scopes[2] = 'g|' .. group end
    local take = math.min(want, quantum)
    for _, scope in ipairs(scopes) do take = math.min(take, room(scope, clock)) end
    local key, got = TAG .. 'lane|' .. lane, 0
    if take > 0 then
      local popped = call('ZPOPMIN', key, take)
      budget = budget - #popped / 2
      for i = 1, #popped, 2 do
        local id, run = popped[i], read(popped[i])
        if run.deadline > 0 and run.deadline <= now then
          count('pending', -1)
          done(id, run, 'expired', now)
        else
          claim(id, run, '-')
          got = got + 1
        end
      end
    end
    want = want - got
    pass[first] = pass[first] + STRIDES[first] * got
    if call('EXISTS', key) == 1 then
      call('ZADD', ring(rank, kind), next_turn(), group)
    end
    for _, scope in ipairs(scopes) do
      local rule = call('HGET', RULES, scope)
      if got > 0 then call('HINCRBY', IN_FLIGHT, scope, got) end
      if rule then
        local interval, burst = string.match(rule, '^%d %d+ (%d+) (%d+)$')
        interval, burst = tonumber(interval), tonumber(burst)
        if interval > 0 and got > 0 then
          local used = math.max(tonumber(call('HGET', USED, scope) or 0), clock * 1000) + got * interval
          call('HSET', USED, scope, int(used))
          local next_start = used - interval * (burst - 1)
          if next_start > clock * 1000 then call('ZADD', THROTTLED, int(next_start), scope) end
        end
        if room(scope, clock) == 0 then reopen(scope, clock) end
      end
    end
    after_lane(lane, clock)
    outer(rank, kind, clock)
  end
  call('HSET', META, 'pass1', int(pass[1]), 'pass2', int(pass[2]), 'pass3', int(pass[3]))
end
flush(clock)
wake(moved_back)
call('HSET', own, 'round', int(round), 'answer', table.concat(claimed, ' '), 'codes', table.concat(codes, ' '),
  'alone', alone)
return answer()

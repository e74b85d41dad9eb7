-- Looks whether tasks are where their records say, and nowhere else; with `mend`, puts right what is not. The counts of
-- the states are not changed: audit_counts.lua makes them anew.
--
-- ARGV: act place, then ids
--       act: `look` or `mend`
--       place, where the ids were read: `record`, `payload`, `delayed`, `dead`, `suspects`, `done`, `lane|LANE` or
--       `held|EPOCH`; `not_done`: their records say that they ended, and they were not seen among the ended
-- Result: {bytes of their payloads, then flat: what is wrong, id, where, what was done about it or ``}
local act, place = ARGV[1], ARGV[2]
if act ~= 'look' and act ~= 'mend' then error({ err = 'BADARG act' }) end
local SETS = { delayed = DELAYED, dead = DEAD, suspects = SUSPECTS }
local mends = act == 'mend'
local clock = mends and tick() or 0
local result, bytes = { 0 }, 0
local function found(wrong, id, where, done)
  for _, value in ipairs({ wrong, id, where, mends and done or '' }) do result[#result + 1] = value end
end

local function has(where, id)
  local what, name = string.match(where, '^(%a+)|(.+)$')
  if what == 'lane' then return call('ZSCORE', TAG .. where, id) end
  if what == 'held' then return call('HEXISTS', TAG .. where, id) == 1 end
  if where == 'payload' then return call('HEXISTS', TASK, id) == 1 end
  if where == 'done' then return call('LPOS', DONE, id) end
  return SETS[where] and call('ZSCORE', SETS[where], id)
end
local function take_out(where, id)
  local what, name = string.match(where, '^(%a+)|(.+)$')
  if what == 'lane' then
    call('ZREM', TAG .. where, id)
    after_lane(name, clock)
  elseif what == 'held' then
    call('HDEL', TAG .. where, id)
  elseif where == 'payload' then
    count('bytes', -call('HSTRLEN', TASK, id))
    call('HDEL', TASK, id)
  elseif where == 'done' then
    call('LREM', DONE, 1, id)
  elseif SETS[where] then
    call('ZREM', SETS[where], id)
  end
end
local function home_of(run)
  if run.state == 'p' then return run.extra == 's' and 'suspects' or 'lane|' .. run.lane end
  if run.state == 'f' then return 'held|' .. string.match(run.extra, '^(%d+)') end
  if run.state == 'w' then return 'delayed' end
  if run.state == 'x' then return 'dead' end
  return 'done'
end
local function has_lease(home) return call('ZSCORE', EPOCHS, string.match(home, '(%d+)$')) end

local function bring_home(id, run, home)
  if run.state == 'p' and run.extra == 's' then
    call('ZADD', SUSPECTS, run.seq, id)
  elseif run.state == 'p' then
    into_lane(id, run.lane, run.seq)
  elseif run.state == 'f' and has_lease(home) then
    call('HSET', TAG .. home, id, run.delivery .. ' ' .. call('HSTRLEN', TASK, id))
  elseif run.state == 'f' then
    pending(id, run)
    return 'put back into its lane'
  elseif run.state == 'w' then
    call('ZADD', DELAYED, run.extra, id)
  elseif run.state == 'x' then
    call('ZADD', DEAD, run.since, id)
  else
    call('RPUSH', DONE, id)
  end
  return 'put back'
end

-- A task without a record.
local function adopt(id)
  local payload, score = has('payload', id), string.match(place, '^lane|') and has(place, id)
  local run = lost()
  if payload and score then
    run.seq, run.lane = score, string.match(place, '^lane|(.+)$')
    write(id, run, 'p', '-')
    return 'given a new record'
  end
  if place ~= 'payload' then take_out(place, id) end
  if not payload then return 'taken out' end
  run.seq = call('HINCRBY', META, 'seq', 1)
  bury(id, run, 'malformed', 'its record was lost')
  return 'made a dead letter of the type lost'
end

-- Whether what the handler gets begins as it must. A long one is not looked at: a claim does.
local function is_readable(id)
  if call('HSTRLEN', TASK, id) > 4096 then return true end
  return string.match(call('HGET', TASK, id), '^1 %d+ %d+ %d+ [^\n]*\n') ~= nil
end

for i = 3, #ARGV do
  local id = ARGV[i]
  local run = read(id)
  if run and run.broken then
    if mends then
      if string.match(place, '^lane|') then run.lane = string.match(place, '^lane|(.+)$') end
      bury_broken(id, run)
    end
    found('unreadable', id, 'record', 'made a dead letter')
  elseif not run then
    if place ~= 'record' and place ~= 'not_done' and has(place, id) then
      found('orphaned', id, place, mends and adopt(id))
    end
  elseif run.state == 'd' then
    if place == 'record' and has('payload', id) then
      if mends then take_out('payload', id) end
      found('doubled', id, 'payload', 'taken out')
    end
    if place == 'not_done' and not has('done', id) then
      if mends then bring_home(id, run) end
      found('missing', id, 'done', 'put back')
    elseif place ~= 'done' and place ~= 'payload' and has(place, id) then
      if mends then take_out(place, id) end
      found('doubled', id, place, 'taken out')
    end
  else
    local home = home_of(run)
    bytes = bytes + call('HSTRLEN', TASK, id)
    if place ~= 'record' then
      if place ~= home and place ~= 'payload' and has(place, id) then
        if mends then take_out(place, id) end
        found('doubled', id, place, 'taken out')
      end
    elseif not has('payload', id) then
      if mends then
        take_out(home, id)
        done(id, run, 'discarded')
      end
      found('no_payload', id, home, 'ended as discarded')
    elseif not is_readable(id) and run.extra ~= 'malformed' then
      if mends then
        take_out(home, id)
        bury(id, run, 'malformed', 'its payload cannot be read')
      end
      found('unreadable', id, 'payload', 'made a dead letter')
    elseif not has(home, id) then
      found('missing', id, home, mends and bring_home(id, run, home))
    elseif run.state == 'f' and not has_lease(home) then
      if mends then call('ZADD', EPOCHS, 0, string.match(home, '(%d+)$')) end
      found('no_lease', id, home, 'left to the next look for expired leases')
    end
  end
end
result[1] = int(bytes)
if mends then
  for _, state in ipairs({ 'pending', 'in_flight', 'delayed', 'dead' }) do counts[state] = nil end
  flush(clock)
end
return result

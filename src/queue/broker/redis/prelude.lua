-- What all scripts of the queue share. Joined before each script at build.
--
-- KEYS, of every script: the fixed keys, in the order of keys.rs.
-- Keys made here begin with the tag of the fixed keys, so that all lie in one slot:
--   lane|RANK|TYPE|GROUP   sorted set of ids by number: what waits in one line
--   ring|RANK              sorted set of types by turn: those with a lane that may be claimed
--   ring|RANK|TYPE         sorted set of groups by turn: the lanes of a type; closed groups are not in it
--   of|GROUP               set of RANK|TYPE: the lanes of a group in which something waits
--   epoch|NUMBER           hash: the lease of a process
--   held|NUMBER            hash of id to delivery: what the process has in flight
--   stop|NUMBER            set of ids: what the process is to cancel
--
-- A record in RUN is one line of eleven fields, see run.rs:
--   STATE DELIVERY FAILURES CRASHES CRASHED_MS SINCE_MS EXTRA DEADLINE_MS NUMBER ENQUEUED_MS LANE
local INBOX, TASK, RUN, DELAYED, DEAD, DONE, COUNT, RULES, IN_FLIGHT, USED, THROTTLED, EPOCHS, TYPES, ERRORS,
  IDEMPOTENCY, KEY_AGES, WAKE, SUSPECTS, LANES, META = unpack(KEYS)
local TAG = '{tasks:pending}|'
local call = redis.call
-- The version of the keys. It is raised by a change that an older program must not meet.
local SCHEMA = 1
-- The lease clock goes on by at most this much between two scripts, in milliseconds: an outage of the store or a step
-- of its clock expires nothing.
local CLOCK_STEP_MS = 500
-- Tokens in WAKE at most.
local WAKE_LIMIT = 64
-- No limit.
local HUGE = math.huge

-- A whole number as text; `..` would write large ones with an exponent.
local function int(number) return string.format('%.0f', number) end

-- A whole number from an argument, or an error before anything is written.
local function number(at)
  local value = tonumber(ARGV[at])
  if not value or value < 0 or value ~= math.floor(value) then
    error({ err = 'BADARG argument ' .. at .. ' is not a whole number' })
  end
  return value
end

-- The store's time, in milliseconds since 1970.
local function wall()
  local time = call('TIME')
  return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end

-- Advances the lease clock. Returns it and the store's time, in milliseconds. Each script that writes begins with it, so
-- keys of a newer program are not touched.
local function tick()
  local now = wall()
  local last = call('HMGET', META, 'time', 'clock', 'schema')
  if not last[3] then
    call('HSET', META, 'schema', SCHEMA)
  elseif tonumber(last[3]) > SCHEMA then
    error({ err = 'NEWER the keys are of version ' .. last[3] .. ', this program knows up to ' .. SCHEMA })
  end
  local clock = tonumber(last[2] or 0) + math.min(math.max(now - tonumber(last[1] or now), 0), CLOCK_STEP_MS)
  call('HSET', META, 'time', int(now), 'clock', int(clock))
  return clock, now
end

-- Counts are collected and written once, by `flush`.
local counts = {}
local function count(name, by) counts[name] = (counts[name] or 0) + by end
local freed = {}

local function read(id)
  local line = call('HGET', RUN, id)
  if not line then return nil end
  local state, delivery, failures, crashes, crashed, since, extra, deadline, seq, enqueued, lane =
    string.match(line, '^(%a) (%d+) (%d+) (%d+) (%d+) (%d+) (%S+) (%d+) (%d+) (%d+) (%S+)$')
  if not state then error({ err = 'BADRECORD ' .. id }) end
  return { state = state, delivery = tonumber(delivery), failures = tonumber(failures), crashes = tonumber(crashes),
    crashed = tonumber(crashed), since = tonumber(since), extra = extra, deadline = tonumber(deadline),
    seq = tonumber(seq), enqueued = tonumber(enqueued), lane = lane }
end

local function line(run)
  return table.concat({ run.state, int(run.delivery), int(run.failures), int(run.crashes), int(run.crashed),
    int(run.since), run.extra, int(run.deadline), int(run.seq), int(run.enqueued), run.lane }, ' ')
end

local function write(id, run, state, extra, since)
  run.state, run.extra, run.since = state, extra, since
  call('HSET', RUN, id, line(run))
end

local function parts(lane) return string.match(lane, '^(%d)|([^|]+)|(.*)$') end
local function ring(rank, kind) return TAG .. 'ring|' .. rank .. (kind and '|' .. kind or '') end

-- How many more tasks of a scope may be started now.
local function room(scope, clock)
  local rule = call('HGET', RULES, scope)
  if not rule then return HUGE end
  local paused, limit, interval, burst = string.match(rule, '^(%d) (%d+) (%d+) (%d+)$')
  if paused == '1' then return 0 end
  local left = HUGE
  limit, interval, burst = tonumber(limit), tonumber(interval), tonumber(burst)
  if limit > 0 then left = limit - tonumber(call('HGET', IN_FLIGHT, scope) or 0) end
  if interval > 0 then
    local ahead = math.max(tonumber(call('HGET', USED, scope) or 0) - clock * 1000, 0)
    left = math.min(left, math.floor(math.max(interval * burst - ahead, 0) / interval))
  end
  return math.max(left, 0)
end

-- Puts a type into its outer ring if it has a lane that may be claimed, else takes it out.
local function outer(rank, kind, clock)
  local head = call('ZRANGE', ring(rank, kind), 0, 0, 'WITHSCORES')
  if head[1] and room('t|' .. kind, clock) > 0 then
    call('ZADD', ring(rank), head[2], kind)
  else
    call('ZREM', ring(rank), kind)
  end
end

local function next_turn() return call('HINCRBY', META, 'turn', 1) end

-- Looks again whether a scope's lanes may be claimed, after its rule or what it uses has changed.
local function reopen(scope, clock)
  local what, name = string.match(scope, '^(%a)|(.+)$')
  if what == 't' then
    for rank = 1, 3 do outer(tostring(rank), name, clock) end
  elseif what == 'g' then
    local open = room(scope, clock) > 0
    local lanes = call('SMEMBERS', TAG .. 'of|' .. name)
    table.sort(lanes)
    for _, lane in ipairs(lanes) do
      local rank, kind = string.match(lane, '^(%d)|(.+)$')
      if not open then
        call('ZREM', ring(rank, kind), name)
      elseif not call('ZSCORE', ring(rank, kind), name) then
        call('ZADD', ring(rank, kind), next_turn(), name)
      end
      outer(rank, kind, clock)
    end
  end
end

-- Opens the scopes whose rate allows a start again.
local function thaw(clock)
  for _, scope in ipairs(call('ZRANGEBYSCORE', THROTTLED, '-inf', int(clock * 1000), 'LIMIT', 0, 50)) do
    call('ZREM', THROTTLED, scope)
    reopen(scope, clock)
  end
end

-- Adds to the structures of a lane. The record is the caller's.
local function into_lane(id, lane, seq, clock)
  local key = TAG .. 'lane|' .. lane
  call('ZADD', key, int(seq), id)
  count('pending', 1)
  if call('ZCARD', key) > 1 then return end
  local rank, kind, group = parts(lane)
  call('SADD', LANES, lane)
  if group ~= '' then call('SADD', TAG .. 'of|' .. group, rank .. '|' .. kind) end
  if group == '' or room('g|' .. group, clock) > 0 then
    call('ZADD', ring(rank, kind), next_turn(), group)
    outer(rank, kind, clock)
  end
end

-- Tidies up after tasks were taken out of a lane.
local function after_lane(lane, clock)
  if call('EXISTS', TAG .. 'lane|' .. lane) == 1 then return end
  local rank, kind, group = parts(lane)
  call('SREM', LANES, lane)
  call('ZREM', ring(rank, kind), group)
  if group ~= '' then call('SREM', TAG .. 'of|' .. group, rank .. '|' .. kind) end
  outer(rank, kind, clock)
end

-- Takes a pending task out of its lane, or from among the suspects.
local function out_of_lane(id, run, clock)
  if run.extra == 's' then
    call('ZREM', SUSPECTS, id)
  else
    call('ZREM', TAG .. 'lane|' .. run.lane, id)
    after_lane(run.lane, clock)
  end
  count('pending', -1)
end

-- Takes a task out of flight. What its type and group may start is looked at again by `flush`.
local function out_of_flight(id, epoch, lane)
  call('HDEL', TAG .. 'held|' .. epoch, id)
  local _, kind, group = parts(lane)
  freed['t|' .. kind] = (freed['t|' .. kind] or 0) + 1
  if group ~= '' then freed['g|' .. group] = (freed['g|' .. group] or 0) + 1 end
  count('in_flight', -1)
end

local function pending(id, run, now, clock)
  write(id, run, 'p', '-', now)
  into_lane(id, run.lane, run.seq, clock)
end

local function delayed(id, run, due, now)
  write(id, run, 'w', int(due), now)
  call('ZADD', DELAYED, int(due), id)
  count('delayed', 1)
end

-- Ends a task: its payload goes, its record stays for a while.
local function done(id, run, outcome, now)
  count('bytes', -call('HSTRLEN', TASK, id))
  call('HDEL', TASK, id)
  write(id, run, 'd', outcome, now)
  call('RPUSH', DONE, id)
  count('done', 1)
  count(outcome, 1)
end

local function bury(id, run, reason, text, now)
  write(id, run, 'x', reason, now)
  if text ~= '' then call('HSET', ERRORS, id, text) end
  call('ZADD', DEAD, int(now), id)
  count('dead', 1)
  count('buried', 1)
end

-- Puts a new task where it belongs: into its lane, among the delayed (then its time is returned), or, with `act`
-- `dead`, among the dead letters.
local function place(task, run, clock, now)
  local due = nil
  if task.delay ~= '' then
    due = tonumber(string.sub(task.delay, 2))
    if string.sub(task.delay, 1, 1) == '+' then due = now + due end
  end
  if task.act == 'dead' then
    bury(task.id, run, 'malformed', task.error, now)
  elseif due and due > now then
    delayed(task.id, run, due, now)
    return due
  else
    pending(task.id, run, now, clock)
  end
  return nil
end

-- Writes what was collected, and opens or closes the scopes that it concerns.
local function settle_scopes(clock)
  local scopes = {}
  for scope, tasks in pairs(freed) do
    call('HINCRBY', IN_FLIGHT, scope, -tasks)
    scopes[#scopes + 1] = scope
  end
  table.sort(scopes)
  for _, scope in ipairs(scopes) do
    if call('HEXISTS', RULES, scope) == 1 then reopen(scope, clock) end
  end
  freed = {}
end
local function flush(clock)
  settle_scopes(clock)
  for name, by in pairs(counts) do
    if by ~= 0 then call('HINCRBY', COUNT, name, int(by)) end
  end
  counts = {}
end

-- Wakes one idle worker a task, at most as many as wait.
local function wake(tasks)
  for _ = 1, math.min(tasks, WAKE_LIMIT - call('LLEN', WAKE)) do call('RPUSH', WAKE, '1') end
end

-- What all scripts of the queue share. Joined before each script at build.
--
-- KEYS, of every script: the fixed keys, in the order of keys.rs.
-- Keys made here begin with the tag of the fixed keys, so that all lie in one slot:
--   lane|RANK|TYPE|GROUP   sorted set of ids by number: what waits in one line
--   ring|RANK              sorted set of types by turn: those with a lane that may be claimed
--   ring|RANK|TYPE         sorted set of groups by turn: the lanes of a type; closed groups are not in it
--   of|GROUP               set of RANK|TYPE: the lanes of a group in which something waits
--   epoch|NUMBER           hash: the lease of a process
--   held|NUMBER            hash of id to DELIVERY BYTES: what the process has in flight
--   stop|NUMBER            set of ids: what the process is to cancel
--
-- A record in RUN is one line of eleven fields, see run.rs:
--   STATE DELIVERY FAILURES CRASHES CRASHED_MS SINCE_MS EXTRA DEADLINE_MS NUMBER ENQUEUED_MS LANE
local INBOX, TASK, RUN, DELAYED, DEAD, DONE, COUNT, RULES, IN_FLIGHT, USED, THROTTLED, EPOCHS, TYPES, ERRORS,
  IDEMPOTENCY, KEY_AGES, WAKE, SUSPECTS, LANES, META = unpack(KEYS)
local TAG = '{tasks:pending}|'
local call = redis.call
-- The version of the keys. It is raised by a change that an older program must not meet.
--   2: what a process holds has the bytes beside the delivery
local SCHEMA = 2
-- The lease clock goes on by at most this much between two scripts, in milliseconds: an outage of the store or a step
-- of its clock expires nothing.
local CLOCK_STEP_MS = 500
-- Tokens in WAKE at most.
local WAKE_LIMIT = 64
-- The priorities, first the first.
local RANKS = { '1', '2', '3' }
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

-- The store's time, in milliseconds since 1970, as a number and as a text; the same throughout a script. Lua is slow at
-- printing numbers, so the fields of records are texts.
local wall_ms, stamp = nil, nil
local function wall()
  if not wall_ms then
    local time = call('TIME')
    wall_ms = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
    stamp = int(wall_ms)
  end
  return wall_ms, stamp
end

-- Advances the lease clock. Returns it and the store's time, in milliseconds. Each script that writes begins with it, so
-- keys of a newer program are not touched.
local function tick()
  local now = wall()
  local last = call('HMGET', META, 'time', 'clock', 'schema')
  local version = tonumber(last[3] or 0)
  if version > SCHEMA then
    error({ err = 'NEWER the keys are of version ' .. last[3] .. ', this program knows up to ' .. SCHEMA })
  elseif version < SCHEMA then
    call('HSET', META, 'schema', SCHEMA)
  end
  local clock = tonumber(last[2] or 0) + math.min(math.max(now - tonumber(last[1] or now), 0), CLOCK_STEP_MS)
  call('HSET', META, 'time', stamp, 'clock', int(clock))
  return clock, now
end

-- What the script has changed is collected here, and written by `flush` with few commands: counts, records, scopes, turns.
local counts = {}
local function count(name, by) counts[name] = (counts[name] or 0) + by end

-- The arguments of one command at most: Lua's stack is bounded.
local ARGS_LIMIT = 2000
-- One command with many arguments, in several if need be. `width` arguments belong together.
local function call_many(command, key, args, width)
  if not args[1] then return end
  if not args[ARGS_LIMIT + 1] then return call(command, key, unpack(args)) end
  local step = ARGS_LIMIT - ARGS_LIMIT % (width or 1)
  for first = 1, #args, step do call(command, key, unpack(args, first, math.min(first + step - 1, #args))) end
end
-- The answers of HMGET, SMISMEMBER and the like for many members.
local function ask_many(command, key, members)
  if not members[1] then return {} end
  if not members[ARGS_LIMIT + 1] then return call(command, key, unpack(members)) end
  local answers = {}
  for first = 1, #members, ARGS_LIMIT do
    local some = call(command, key, unpack(members, first, math.min(first + ARGS_LIMIT - 1, #members)))
    for i = 1, #some do answers[first + i - 1] = some[i] end
  end
  return answers
end

-- Records by id, as they are or as `flush` will write them; false: there is none. And the ids of those that changed.
local lines, changed = {}, {}
-- Reads the records of many tasks, which `read` then finds.
local function fetch(ids)
  local missing = {}
  for _, id in ipairs(ids) do
    if lines[id] == nil then missing[#missing + 1] = id end
  end
  local found = ask_many('HMGET', RUN, missing)
  for i, id in ipairs(missing) do lines[id] = found[i] end
end

-- The record of a task whose record is lost or cannot be read. Its number of deliveries is lost too: the time in seconds
-- is above any that was given.
local function lost(lane, seq)
  local now = wall()
  return { broken = true, state = '?', delivery = int(math.floor(now / 1000)), failures = '0', crashes = '0',
    crashed = '0', since = stamp, extra = '-', deadline = '0', seq = seq or '0', enqueued = stamp,
    lane = lane or '2|lost|' }
end
-- A record, or nil. Its fields are texts. One that cannot be read is `broken`.
local function read(id)
  local line = lines[id]
  if line == nil then
    line = call('HGET', RUN, id)
    lines[id] = line
  end
  if not line then return nil end
  local state, delivery, failures, crashes, crashed, since, extra, deadline, seq, enqueued, lane =
    string.match(line, '^(%a) (%d+) (%d+) (%d+) (%d+) (%d+) (%S+) (%d+) (%d+) (%d+) ([123]|[^|%s]+|[^|%s]*)$')
  if not state then return lost() end
  return { state = state, delivery = delivery, failures = failures, crashes = crashes, crashed = crashed, since = since,
    extra = extra, deadline = deadline, seq = seq, enqueued = enqueued, lane = lane }
end
-- The same for a task that some structure names: without a record it is broken too.
local function named(id) return read(id) or lost() end

-- The record of a task that was never tried.
local function fresh_run(seq, deadline, lane)
  return { delivery = '0', failures = '0', crashes = '0', crashed = '0', deadline = deadline, seq = seq, enqueued = stamp,
    lane = lane }
end

-- `since`: a text; now, if it is left out.
local function write(id, run, state, extra, since)
  since = since or stamp
  run.state, run.extra, run.since = state, extra, since
  lines[id] = state .. ' ' .. run.delivery .. ' ' .. run.failures .. ' ' .. run.crashes .. ' ' .. run.crashed .. ' '
    .. since .. ' ' .. extra .. ' ' .. run.deadline .. ' ' .. run.seq .. ' ' .. run.enqueued .. ' ' .. run.lane
  changed[#changed + 1] = id
end

local function parts(lane) return string.match(lane, '^(%d)|([^|]+)|(.*)$') end
local function ring(rank, kind) return TAG .. 'ring|' .. rank .. (kind and '|' .. kind or '') end

-- What scopes allow and use, read once a script. `by` is what `flush` adds to what they have in flight.
local scopes = {}
local function scope_of(name, rule, in_flight, used)
  local scope = { by = 0 }
  scopes[name] = scope
  if not rule then return scope end
  local paused, limit, interval, burst = string.match(rule, '^(%d) (%d+) (%d+) (%d+)$')
  scope.ruled, scope.paused = true, paused == '1'
  scope.limit, scope.interval, scope.burst = tonumber(limit), tonumber(interval), tonumber(burst)
  if scope.limit > 0 then scope.in_flight = tonumber(in_flight or call('HGET', IN_FLIGHT, name) or 0) end
  if scope.interval > 0 then scope.used = tonumber(used or call('HGET', USED, name) or 0) end
  return scope
end
-- Reads many scopes at once.
local function know(names)
  local unknown = {}
  for _, name in ipairs(names) do
    if not scopes[name] then unknown[#unknown + 1] = name end
  end
  local rules = ask_many('HMGET', RULES, unknown)
  local ruled = {}
  for i, name in ipairs(unknown) do
    if rules[i] then ruled[#ruled + 1] = name else scope_of(name) end
  end
  local in_flight, used = ask_many('HMGET', IN_FLIGHT, ruled), ask_many('HMGET', USED, ruled)
  local nth = 0
  for i, name in ipairs(unknown) do
    if rules[i] then
      nth = nth + 1
      scope_of(name, rules[i], in_flight[nth] or 0, used[nth] or 0)
    end
  end
end
local function scope_named(name) return scopes[name] or scope_of(name, call('HGET', RULES, name)) end

-- How many more tasks of a scope may be started now.
local function room(name, clock)
  local of = scope_named(name)
  if not of.ruled then return HUGE end
  if of.paused then return 0 end
  local left = HUGE
  if of.limit > 0 then left = of.limit - of.in_flight end
  if of.interval > 0 then
    local ahead = of.used - clock * 1000
    local starts = ahead > 0 and math.floor((of.interval * of.burst - ahead) / of.interval) or of.burst
    if starts < left then left = starts end
  end
  return left > 0 and left or 0
end
-- Tasks of a scope came into flight, or left it (`tasks` < 0).
local function fly(name, tasks)
  local of = scope_named(name)
  of.by = of.by + tasks
  if of.in_flight then of.in_flight = of.in_flight + tasks end
end
-- Started tasks use up a part of the rate.
local function use_up(name, tasks, clock)
  local of = scope_named(name)
  if not of.used or tasks == 0 then return end
  of.used = math.max(of.used, clock * 1000) + tasks * of.interval
  of.uses = true
end

-- Puts a type into its outer ring if it has a lane that may be claimed, else takes it out.
local function outer(rank, kind, clock)
  local head = call('ZRANGE', ring(rank, kind), '0', '0', 'WITHSCORES')
  if head[1] and room('t|' .. kind, clock) > 0 then
    call('ZADD', ring(rank), head[2], kind)
  else
    call('ZREM', ring(rank), kind)
  end
end

local turn, last_turn = nil, nil
local function next_turn()
  if not turn then
    last_turn = tonumber(call('HGET', META, 'turn') or 0)
    turn = last_turn
  end
  turn = turn + 1
  return int(turn)
end

-- Looks again whether a scope's lanes may be claimed, after its rule or what it uses has changed.
local function reopen(scope, clock)
  local what, name = string.match(scope, '^(%a)|(.+)$')
  if what == 't' then
    for _, rank in ipairs(RANKS) do outer(rank, name, clock) end
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
  for _, scope in ipairs(call('ZRANGEBYSCORE', THROTTLED, '-inf', int(clock * 1000), 'LIMIT', '0', '50')) do
    call('ZREM', THROTTLED, scope)
    reopen(scope, clock)
  end
end

-- Adds to a lane; `open_lanes` writes it. The record is the caller's.
local arrivals = {}
local function into_lane(id, lane, seq)
  count('pending', 1)
  local to = arrivals[lane]
  if not to then
    to = {}
    arrivals[lane] = to
    arrivals[#arrivals + 1] = lane
  end
  to[#to + 1] = seq
  to[#to + 1] = id
end
-- Writes the lanes that were added to, and lists those that were empty.
local function open_lanes(clock)
  for _, lane in ipairs(arrivals) do
    local key, to = TAG .. 'lane|' .. lane, arrivals[lane]
    local was_empty = call('EXISTS', key) == 0
    call_many('ZADD', key, to, 2)
    if was_empty then
      local rank, kind, group = parts(lane)
      call('SADD', LANES, lane)
      if group ~= '' then call('SADD', TAG .. 'of|' .. group, rank .. '|' .. kind) end
      if group == '' or room('g|' .. group, clock) > 0 then
        call('ZADD', ring(rank, kind), next_turn(), group)
        outer(rank, kind, clock)
      end
    end
  end
  arrivals = {}
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

-- A task is no longer in flight; its process's set is the caller's. What its type and group may start is looked at
-- again by `settle_scopes`.
local freed = {}
local function out_of_flight(run)
  count('in_flight', -1)
  if run.broken then return end
  local _, kind, group = parts(run.lane)
  freed['t|' .. kind] = (freed['t|' .. kind] or 0) + 1
  if group ~= '' then freed['g|' .. group] = (freed['g|' .. group] or 0) + 1 end
end

local function pending(id, run, since)
  write(id, run, 'p', '-', since)
  into_lane(id, run.lane, run.seq)
end

local function delayed(id, run, due)
  local text = int(due)
  write(id, run, 'w', text)
  call('ZADD', DELAYED, text, id)
  count('delayed', 1)
end

-- Ends a task: its payload goes, its record stays for a while. `bytes`: of its record in TASK, if they are known.
local ended = {}
local function done(id, run, outcome, bytes)
  count('bytes', -(tonumber(bytes) or call('HSTRLEN', TASK, id)))
  write(id, run, 'd', outcome)
  ended[#ended + 1] = id
  count('done', 1)
  count(outcome, 1)
end

local function bury(id, run, reason, text)
  write(id, run, 'x', reason)
  if text ~= '' then call('HSET', ERRORS, id, text) end
  call('ZADD', DEAD, stamp, id)
  count('dead', 1)
  count('buried', 1)
end
-- What becomes of a task whose record cannot be read, once its turn comes.
local function bury_broken(id, run) bury(id, run, 'malformed', 'its record cannot be read') end

-- Puts a new task where it belongs: into its lane, among the delayed (then its time is returned), or, with `act`
-- `dead`, among the dead letters.
local function place(task, run)
  local due, now = nil, wall()
  if task.delay ~= '' then
    due = tonumber(string.sub(task.delay, 2))
    if string.sub(task.delay, 1, 1) == '+' then due = now + due end
  end
  if task.act == 'dead' then
    bury(task.id, run, 'malformed', task.error)
  elseif due and due > now then
    delayed(task.id, run, due)
    return due
  else
    pending(task.id, run)
  end
  return nil
end

-- Opens or closes the scopes of which tasks left flight.
local function settle_scopes(clock)
  local names = {}
  for name in pairs(freed) do names[#names + 1] = name end
  table.sort(names)
  know(names)
  local closed = {}
  for _, name in ipairs(names) do
    if room(name, clock) == 0 then closed[#closed + 1] = name end
    fly(name, -freed[name])
  end
  for _, name in ipairs(closed) do reopen(name, clock) end
  freed = {}
end

-- Adds to many fields of a hash.
local function add_many(key, by)
  local names = {}
  for name, more in pairs(by) do
    if more ~= 0 then names[#names + 1] = name end
  end
  local args = {}
  for i, was in ipairs(ask_many('HMGET', key, names)) do
    args[#args + 1] = names[i]
    args[#args + 1] = tonumber(was or 0) + by[names[i]]
  end
  call_many('HSET', key, args, 2)
end

-- Writes what was collected. The last thing that a script does which writes.
local function flush(clock)
  open_lanes(clock)
  settle_scopes(clock)
  call_many('HDEL', TASK, ended)
  call_many('RPUSH', DONE, ended)
  local records, flying, used = {}, {}, {}
  for i, id in ipairs(changed) do records[2 * i - 1], records[2 * i] = id, lines[id] end
  call_many('HSET', RUN, records, 2)
  for name, of in pairs(scopes) do
    flying[name] = of.by
    if of.uses then
      used[#used + 1] = name
      used[#used + 1] = of.used
      local next_start = of.used - of.interval * (of.burst - 1)
      if next_start > clock * 1000 then call('ZADD', THROTTLED, next_start, name) end
    end
  end
  call_many('HSET', USED, used, 2)
  add_many(IN_FLIGHT, flying)
  add_many(COUNT, counts)
  if turn ~= last_turn then call('HSET', META, 'turn', turn) end
end

-- Wakes one idle worker a task, at most as many as wait.
local function wake(tasks)
  if tasks == 0 then return end
  local tokens = {}
  for i = 1, math.min(tasks, WAKE_LIMIT - call('LLEN', WAKE)) do tokens[i] = '1' end
  call_many('RPUSH', WAKE, tokens)
end

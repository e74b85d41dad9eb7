-- Compares what is counted with what the structures hold, at one moment; with `mend`, makes the counts anew.
--
-- ARGV: act bytes enqueued done seq epoch
--       act: `look` or `mend`; bytes: of all payloads as they were added up since enqueued and done were as stated, or
--       `` if they were not; seq, epoch: the highest number of a task and of an epoch that were seen
-- Result: {list of what was not looked at because there is too much of it (`lanes`, `processes`, `in_flight`), then flat:
--       what is wrong, name, what the count says and what it must be, what was done about it or ``}
local act = ARGV[1]
if act ~= 'look' and act ~= 'mend' then error({ err = 'BADARG act' }) end
local seq, epoch = number(5), number(6)
-- One look at one moment takes a while, so these limit it.
local LANES_LIMIT, HELD_LIMIT, EPOCHS_LIMIT = 5000, 2000, 1000
-- No lease is longer: one that ends later was given by a clock that was lost.
local LEASE_LIMIT_MS = 24 * 3600000
-- What a process that lives has until its next heartbeat, once the clock was lost.
local LEASE_MS = 60000
local mends = act == 'mend'
local clock = tonumber(call('HGET', META, 'clock') or 0)
if mends then clock = tick() end
local result = { {} }
local function found(wrong, name, said, is, key)
  local change = 'says ' .. int(said) .. ', must be ' .. int(is)
  if mends and key then call('HSET', key, name, int(is)) end
  for _, value in ipairs({ wrong, name, change, mends and 'set' or '' }) do result[#result + 1] = value end
end

local waiting, held, in_flight = nil, nil, nil
if call('SCARD', LANES) <= LANES_LIMIT then
  waiting = 0
  for _, lane in ipairs(call('SMEMBERS', LANES)) do waiting = waiting + call('ZCARD', TAG .. 'lane|' .. lane) end
end
local epochs = call('ZRANGE', EPOCHS, 0, EPOCHS_LIMIT, 'WITHSCORES')
if #epochs <= 2 * EPOCHS_LIMIT then
  held = 0
  for i = 1, #epochs, 2 do held = held + call('HLEN', TAG .. 'held|' .. epochs[i]) end
end
if held and held <= HELD_LIMIT then
  in_flight = {}
  for i = 1, #epochs, 2 do
    for _, id in ipairs(call('HKEYS', TAG .. 'held|' .. epochs[i])) do
      local run = read(id)
      if run and not run.broken then
        local _, kind, group = parts(run.lane)
        in_flight['t|' .. kind] = (in_flight['t|' .. kind] or 0) + 1
        if group ~= '' then in_flight['g|' .. group] = (in_flight['g|' .. group] or 0) + 1 end
      end
    end
  end
end
local suspects, delayed_size, dead = call('ZCARD', SUSPECTS), call('ZCARD', DELAYED), call('ZCARD', DEAD)
local payloads, ended_records = call('HLEN', TASK), call('LLEN', DONE)
if not waiting then result[1][#result[1] + 1] = 'lanes' end
if not held then result[1][#result[1] + 1] = 'processes' end
if not in_flight then result[1][#result[1] + 1] = 'in_flight' end

local kept = {}
local all = call('HGETALL', COUNT)
for i = 1, #all, 2 do kept[all[i]] = tonumber(all[i + 1]) end
local function of(name) return kept[name] or 0 end
local states = { { 'delayed', delayed_size }, { 'dead', dead } }
if waiting then states[#states + 1] = { 'pending', waiting + suspects } end
if held then states[#states + 1] = { 'in_flight', held } end
for _, state in ipairs(states) do
  if of(state[1]) ~= state[2] then found('count', state[1], of(state[1]), state[2], COUNT) end
  kept[state[1]] = state[2]
end
local ends = of('succeeded') + of('cancelled') + of('expired') + of('discarded')
-- Records of ended tasks are ended tasks, whatever the counts have lost.
local ended = math.max(ends, ended_records)
if of('done') ~= ended then found('count', 'done', of('done'), ended, COUNT) end
if ends ~= ended then found('count', 'succeeded', of('succeeded'), of('succeeded') + ended - ends, COUNT) end
local live = of('pending') + of('in_flight') + of('delayed') + of('dead')
if of('enqueued') ~= live + ended then found('count', 'enqueued', of('enqueued'), live + ended, COUNT) end
if waiting and held and payloads ~= waiting + suspects + held + delayed_size + dead then
  found('size', 'payloads', payloads, waiting + suspects + held + delayed_size + dead)
end
if ARGV[2] ~= '' and tonumber(ARGV[3]) == of('enqueued') and tonumber(ARGV[4]) == of('done')
  and of('bytes') ~= number(2) then
  found('count', 'bytes', of('bytes'), number(2), COUNT)
end
if in_flight then
  local kept_scopes = call('HGETALL', IN_FLIGHT)
  for i = 1, #kept_scopes, 2 do in_flight[kept_scopes[i]] = in_flight[kept_scopes[i]] or 0 end
  local names = {}
  for scope in pairs(in_flight) do names[#names + 1] = scope end
  table.sort(names)
  for _, scope in ipairs(names) do
    local said = tonumber(call('HGET', IN_FLIGHT, scope) or 0)
    if said ~= in_flight[scope] then
      found('limit', scope, said, in_flight[scope], IN_FLIGHT)
      if mends then
        scopes[scope] = nil
        reopen(scope, clock)
      end
    end
  end
end
local meta = call('HMGET', META, 'seq', 'epoch')
if tonumber(meta[1] or 0) < seq then found('count', 'seq', tonumber(meta[1] or 0), seq, META) end
if tonumber(meta[2] or 0) < epoch then found('count', 'epoch', tonumber(meta[2] or 0), epoch, META) end
for i = 1, #epochs, 2 do
  if tonumber(epochs[i + 1]) > clock + LEASE_LIMIT_MS then
    found('lease', epochs[i], tonumber(epochs[i + 1]), clock + LEASE_MS)
    if mends then call('ZADD', EPOCHS, int(clock + LEASE_MS), epochs[i]) end
  end
end
if mends then flush(clock) end
return result

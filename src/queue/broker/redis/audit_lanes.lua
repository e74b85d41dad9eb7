-- Looks whether lanes in which something waits are claimed from, and no others; with `mend`, puts right what is not.
--
-- ARGV: act, then lanes
--       act: `look` or `mend`
-- Result: flat: what is wrong, lane, where, what was done about it or ``
local act = ARGV[1]
if act ~= 'look' and act ~= 'mend' then error({ err = 'BADARG act' }) end
local mends = act == 'mend'
local clock = tonumber(call('HGET', META, 'clock') or 0)
if mends then clock = tick() end
local result = {}
local function found(wrong, lane, where, done)
  for _, value in ipairs({ wrong, lane, where, mends and done or '' }) do result[#result + 1] = value end
end

-- A scope that its rate has closed, and that nothing will open.
local function is_frozen(scope)
  local rule = call('HGET', RULES, scope)
  local interval, burst = string.match(rule or '', '^0 %d+ (%d+) (%d+)$')
  if not interval or tonumber(interval) == 0 or call('ZSCORE', THROTTLED, scope) then return false end
  local ahead = math.max(tonumber(call('HGET', USED, scope) or 0) - clock * 1000, 0)
  return ahead > tonumber(interval) * (tonumber(burst) - 1)
end
-- Whether the members of a ring are those that may be claimed. One whose rate allows a start again is opened by thaw.
local function is_wrong(member, is_open, scope)
  if is_open and not member then return not call('ZSCORE', THROTTLED, scope) end
  return member and not is_open
end

for i = 2, #ARGV do
  local lane = ARGV[i]
  local rank, kind, group = parts(lane)
  if not rank then error({ err = 'BADARG lane' }) end
  local of = { 't|' .. kind }
  if group ~= '' then of[2] = 'g|' .. group end
  if call('EXISTS', TAG .. 'lane|' .. lane) == 0 then
    if call('SISMEMBER', LANES, lane) == 1 or call('ZSCORE', ring(rank, kind), group) then
      if mends then after_lane(lane, clock) end
      found('empty_lane', lane, 'lanes', 'taken out')
    end
  else
    local listed = call('SISMEMBER', LANES, lane) == 1
      and (group == '' or call('SISMEMBER', TAG .. 'of|' .. group, rank .. '|' .. kind) == 1)
    if not listed then
      if mends then
        call('SADD', LANES, lane)
        if group ~= '' then call('SADD', TAG .. 'of|' .. group, rank .. '|' .. kind) end
      end
      found('unlisted_lane', lane, 'lanes', 'listed')
    end
    for _, scope in ipairs(of) do
      if is_frozen(scope) then
        if mends then call('ZADD', THROTTLED, 0, scope) end
        found('unclaimed_lane', lane, 'throttled ' .. scope, 'left to the next look for closed scopes')
      end
    end
    local group_open = group == '' or room('g|' .. group, clock) > 0
    if is_wrong(call('ZSCORE', ring(rank, kind), group), group_open, 'g|' .. group) then
      if mends and group_open then
        call('ZADD', ring(rank, kind), next_turn(), group)
      elseif mends then
        call('ZREM', ring(rank, kind), group)
      end
      found(group_open and 'unclaimed_lane' or 'closed_lane', lane, 'ring of its type', 'put right')
    end
    local kind_open = room('t|' .. kind, clock) > 0 and call('EXISTS', ring(rank, kind)) == 1
    if is_wrong(call('ZSCORE', ring(rank), kind), kind_open, 't|' .. kind) then
      if mends then outer(rank, kind, clock) end
      found(kind_open and 'unclaimed_lane' or 'closed_lane', lane, 'ring of its priority', 'put right')
    end
  end
end
if mends then flush(clock) end
return result

-- Counts and sizes, read at one moment. Writes nothing.
--
-- ARGV: none
-- Result: {now_ms, lease clock, length of the inbox, counts (flat), rules (flat), in flight by scope (flat),
--         processes (flat: number, expires, who, held, handles), sizes (flat: name, size)}
local epochs, held = {}, 0
local list = call('ZRANGE', EPOCHS, 0, 999, 'WITHSCORES')
for i = 1, #list, 2 do
  local holds = call('HLEN', TAG .. 'held|' .. list[i])
  held = held + holds
  epochs[#epochs + 1] = list[i]
  epochs[#epochs + 1] = list[i + 1]
  local said = call('HMGET', TAG .. 'epoch|' .. list[i], 'who', 'handles')
  epochs[#epochs + 1] = said[1] or ''
  epochs[#epochs + 1] = int(holds)
  epochs[#epochs + 1] = said[2] or ''
end
local function size(command, key) return int(call(command, key)) end
return { int(wall()), call('HGET', META, 'clock') or '0', call('LLEN', INBOX), call('HGETALL', COUNT),
  call('HGETALL', RULES), call('HGETALL', IN_FLIGHT), epochs,
  { 'delayed', size('ZCARD', DELAYED), 'dead', size('ZCARD', DEAD), 'suspects', size('ZCARD', SUSPECTS),
    'tasks', size('HLEN', TASK), 'records', size('HLEN', RUN), 'done', size('LLEN', DONE), 'held', int(held),
    'lanes', size('SCARD', LANES), 'keys', size('HLEN', IDEMPOTENCY) } }

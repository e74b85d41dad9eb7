-- Lanes with what waits in them, some at a time. Writes nothing.
--
-- ARGV: cursor count
-- Result: {next cursor, lanes (flat: lane, length, since when its first task is ready)}
local page = call('SSCAN', LANES, ARGV[1], 'COUNT', number(2))
local lanes = {}
for _, lane in ipairs(page[2]) do
  local head = call('ZRANGE', TAG .. 'lane|' .. lane, 0, 0)[1]
  if head then
    lanes[#lanes + 1] = lane
    lanes[#lanes + 1] = int(call('ZCARD', TAG .. 'lane|' .. lane))
    lanes[#lanes + 1] = tostring(named(head).since)
  end
end
return { page[1], lanes }

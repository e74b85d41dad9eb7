-- Reads tasks of one kind, some at a time. Writes nothing.
--
-- ARGV: which (`dead`, newest first; `delayed`, soonest first; or the number of an epoch) offset limit preview
-- Result: flat: id, record of its run, first bytes of its spec and payload (`preview` of them), its last error or nil
local which, offset, limit, preview = ARGV[1], number(2), number(3), number(4)
local ids
if which == 'dead' then
  ids = call('ZREVRANGE', DEAD, offset, offset + limit - 1)
elseif which == 'delayed' then
  ids = call('ZRANGE', DELAYED, offset, offset + limit - 1)
else
  ids = call('HKEYS', TAG .. 'held|' .. which)
  table.sort(ids)
  ids = { unpack(ids, offset + 1, math.min(#ids, offset + limit)) }
end
local result = {}
for i = 1, math.min(#ids, limit) do
  local run, record = call('HGET', RUN, ids[i]), call('HGET', TASK, ids[i])
  if run and record then
    result[#result + 1] = ids[i]
    result[#result + 1] = run
    result[#result + 1] = string.sub(record, 1, preview)
    result[#result + 1] = call('HGET', ERRORS, ids[i])
  end
end
return result

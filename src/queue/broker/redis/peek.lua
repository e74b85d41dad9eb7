-- Reads the oldest elements of the raw list. Writes nothing.
--
-- ARGV: limit bytes_limit preview
-- Result: flat: length of an element, and the element; of one that is longer than `preview`, that many bytes
local limit, bytes_limit, preview = number(1), number(2), number(3)
local result, bytes = {}, 0
for i = 1, math.min(call('LLEN', INBOX), limit) do
  local element = call('LINDEX', INBOX, -i)
  local length = #element
  if length > preview then element = string.sub(element, 1, preview) end
  bytes = bytes + #element
  if bytes > bytes_limit and #result > 0 then break end
  result[#result + 1] = length
  result[#result + 1] = element
end
return result

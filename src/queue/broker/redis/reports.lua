-- The accounts of processes with a lease. Writes nothing.
--
-- ARGV: limit
-- Result: the accounts, at most so many
local accounts = {}
for _, epoch in ipairs(call('ZRANGE', EPOCHS, 0, number(1) - 1)) do
  local account = call('HGET', TAG .. 'epoch|' .. epoch, 'account')
  if account then accounts[#accounts + 1] = account end
end
return accounts

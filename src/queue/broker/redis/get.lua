-- Reads a task. Writes nothing.
--
-- ARGV: id
-- Result: nil if unknown, else {record of its run, its spec and payload or nil, its last error or nil,
--         ms of the oldest record of an ended task or -1}
local run = call('HGET', RUN, ARGV[1])
local oldest = call('LINDEX', DONE, 0)
local since = -1
if oldest then since = tonumber(named(oldest).since) end
return { run, call('HGET', TASK, ARGV[1]), call('HGET', ERRORS, ARGV[1]), since }

-- The version of the keys. Writes nothing.
--
-- ARGV: none
-- Result: {version of the store, or -1 for an empty one; the newest version that the scripts know}
return { tonumber(call('HGET', META, 'schema') or -1), SCHEMA }

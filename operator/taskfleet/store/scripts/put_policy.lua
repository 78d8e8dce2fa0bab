-- needs: lib
-- ARGV: the whole policy as JSON, then field and value of the numbers that scripts read. Reply: 1 when it changed.

if call('HGET', POLICY, 'json') == ARGV[1] then return 0 end
go_on_when_full()  -- a full queue must still be told to stop
-- A version is a time (in us), so that a queue that was dropped and made again does not repeat one.
local version = math.max(clock[1] * 1000000 + clock[2], tonumber(call('HGET', POLICY, 'version') or 0) + 1)
local paused_until = call('HGET', POLICY, 'paused_until') or 0  -- a pause is not the policy's to end
call('UNLINK', POLICY)  -- with the fields of tenants that are no longer named
call('HSET', POLICY, 'json', ARGV[1], 'version', string.format('%d', version), 'paused_until', paused_until,
    unpack(ARGV, 2))
tell_listeners()
return 1

-- needs: lib
-- ARGV: the whole policy as JSON, the numbers that scripts read, then field and value of each tenant's. Reply: 1 when it
-- changed.

if call('HGET', POLICY, 'json') == ARGV[1] then return 0 end
go_on_when_full()  -- a full queue must still be told to stop
-- A version is a time (in us), so that a queue that was dropped and made again does not repeat one.
local version = math.max(clock[1] * 1000000 + clock[2], tonumber(call('HGET', POLICY, 'version') or 0) + 1)
local kept = call('HMGET', POLICY, 'paused_until', 'spared_until')  -- not the policy's to end
call('UNLINK', POLICY)  -- with the fields of tenants that are no longer named
call('HSET', POLICY, 'json', ARGV[1], 'numbers', ARGV[2], 'version', string.format('%d', version), 'paused_until',
    kept[1] or 0, 'spared_until', kept[2] or 0, unpack(ARGV, 3))
call('ZADD', LEASES, '+inf', NOT_PACKED)
call('HSET', HOLDERS, NOT_PACKED, '')
tell_listeners()
return 1

-- needs: lib
-- ARGV: stage of the first partition, the stages of the others (PARTITION:STAGE,...). The submission is accepted from now
-- on: whoever comes may commit it. Reply: {'ok'} or why not.

local key = STAGE_ .. ARGV[1]
local policy = read_policy()
if not policy then return {'not_found'} end
if policy.closed then return {'closed'} end
if call('HEXISTS', key, 'open') == 0 then return {'stage_lost'} end
go_on_when_full()  -- the memory has been taken already
call('HSET', key, 'decided', ARGV[2])
call('ZADD', STAGES, DECIDED_LATER + now, ARGV[1])
tell_listeners()  -- should its commits never come, somebody else looks after them
return {'ok'}

-- needs: lib
-- ARGV: ms of the end (NO_END: until it is resumed, 0: resume now), or of the time from now when a second one is given.
-- Reply: ms of the end, and whether it was paused before; or nothing when there is no such queue. It stands beside the
-- policy and not in it: publishing a policy anew does not end a pause.

local policy = read_policy()
if not policy then return false end
go_on_when_full()
local ends = tonumber(ARGV[1])
if ARGV[2] then ends = now + ends end
call('HSET', POLICY, 'paused_until', string.format('%.0f', ends))
tell_listeners()
return {ends, policy.paused and 1 or 0}

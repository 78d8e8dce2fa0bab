-- needs: due
-- Reply: {now, lanes, stats, scheduled, running, failed, oldest waiting ms or -1, next due ms or -1, ms of the end of a
-- pause (NO_END: until it is resumed, 0: none)}, or nothing when there is no such queue. Brings what is due first, so
-- that the backlog has it.

local policy = read_policy()
if not policy then return false end
go_on_when_full()
local more_is_due = bring_due(policy)
write_moves(policy)

local lanes = call('HGETALL', LANES)
local oldest
for i = 1, #lanes, 2 do
    local name = lanes[i]
    if is_lane(name) and tonumber(lanes[i + 1]) > 0 then
        local t = oldest_in(name)
        if t and (not oldest or t.enqueued < oldest) then oldest = t.enqueued end
    end
end
local due = next_due(policy)
if oldest then due = math.min(due or math.huge, oldest + policy.ttl_ms + 1) end
if more_is_due then due = now end
local running = call('ZCOUNT', LEASES, '-inf', '(+inf')
local failed = call('ZCOUNT', FAILED, now - policy.keep_failed_ms, '+inf')
return {
    now, lanes, call('HGETALL', STATS), call('ZCARD', SCHEDULED), running, failed, oldest or -1, due or -1,
    policy.paused and policy.paused_until or 0,
}

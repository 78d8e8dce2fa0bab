-- needs: due, stages
-- One bounded step of what time brings. Reply: 1 when there may be more to do at once.

local policy = read_policy()
if not policy then return 0 end
go_on_when_full()
local more = bring_due(policy)
write_moves(policy)

-- Tasks that waited too long stand at the heads of their flows.
local lanes = call('HKEYS', LANES)
for i = 1, #lanes do
    local lane, left = lanes[i], AT_ONCE
    while left > 0 and is_lane(lane) do
        local t = oldest_in(lane)
        if not t or not is_too_old(t, policy) then break end
        expire(t, policy, TOO_OLD)
        left = left - 1
    end
    if left == 0 then more = true end
end
write_moves(policy)

-- Records of dead letters expire by themselves; their index does not.
local SWEPT = 1000
local old = call('ZRANGEBYSCORE', FAILED, '-inf', now - policy.keep_failed_ms, 'LIMIT', 0, SWEPT)
if #old > 0 then call('ZREM', FAILED, unpack(old)) end
-- A worker that was cut off is known for a while: whether it died matters to the tasks that it had (due.lua). While none
-- is heard none is forgotten: it may be the machine that slept.
local FORGOTTEN_MS = 60 * 60 * 1000
local silent_since = (last_heard() or now) - math.max(policy.lease_ms, FORGOTTEN_MS)
local gone = call('ZRANGEBYSCORE', SEEN, '-inf', silent_since, 'LIMIT', 0, SWEPT)
if #gone > 0 then
    call('ZREM', SEEN, unpack(gone))
    call('HDEL', WORKERS, unpack(gone))
    call('HDEL', BEGAN, unpack(gone))
end
local stage = call('ZRANGEBYSCORE', STAGES, '-inf', now - ABANDONED_MS, 'LIMIT', 0, 1)[1]
if stage then
    sweep_stage(stage)
    more = true
end
write_counters(policy)
return (more or #old == SWEPT or #gone == SWEPT) and 1 or 0

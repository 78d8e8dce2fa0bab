-- needs: lib
-- ARGV: worker, its report as JSON, then id and fence of each lease. Reply: {lost ids, cancelled ids}.

local worker, report = ARGV[1], ARGV[2]
local policy = read_policy()
local lost, cancelled, renewed = {}, {}, {}
if policy then
    go_on_when_full()
    call('HSET', WORKERS, worker, report)
    call('ZADD', SEEN, now, worker)
end
for i = 3, #ARGV, 2 do
    local id, fence = ARGV[i], tonumber(ARGV[i + 1])
    local part = policy and call('GETRANGE', TASK_ .. id, 0, MOVING_BYTES - 1) or ''
    local state, cancel, current
    if part ~= '' then state, cancel, current = unpack_(MOVING, part) end
    if state ~= RUNNING or current ~= fence then
        lost[#lost + 1] = id
    else
        renewed[#renewed + 1] = now + policy.lease_ms
        renewed[#renewed + 1] = id
        if cancel == 1 then cancelled[#cancelled + 1] = id end
    end
end
if #renewed > 0 then call_with_many('ZADD', LEASES, renewed) end
return {lost, cancelled}

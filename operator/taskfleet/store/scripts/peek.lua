-- needs: moves
-- ARGV: lane, place of a tenant in it, place in what that tenant has waiting, places. Reply: {1 when there is such a
-- tenant, next place or -1 at the end, id, record, ...} of the tasks that wait there and that a claim would bring. What
-- came back stands before the rest. Changes nothing.

local lane, tenant_place, first, places = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local policy = read_policy()
local tenant = policy and call('ZRANGE', ACTIVE_ .. lane, tenant_place, tenant_place)[1]
if not tenant then return {0, -1} end

local flow = tenant .. ':' .. lane
local back = call('ZCARD', BACK_ .. flow)
local ids = {}
if first < back then
    local members = call('ZRANGE', BACK_ .. flow, first, first + places - 1)
    for i = 1, #members do ids[i] = string.sub(members[i], ORDER_BYTES + 1) end
else
    ids = call('LRANGE', FLOW_ .. flow, first - back, first - back + places - 1)
end
local next_place = first + #ids
if next_place >= back + call('LLEN', FLOW_ .. flow) then next_place = -1 end
local answer = {1, next_place}
for i = 1, #ids do
    local t = load_task(ids[i])
    if waits_in(t, flow) and now - t.enqueued <= policy.ttl_ms and not is_late(t) then
        answer[#answer + 1] = ids[i]
        answer[#answer + 1] = call('GET', TASK_ .. ids[i])
    end
end
return answer

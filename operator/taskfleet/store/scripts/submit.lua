-- needs: intake
-- ARGV: batch, id and bytes of the biggest task, blob, names of the flows (TENANT:LANE). Reply: {'ok', tasks taken} or why not.

local batch, biggest, biggest_bytes, blob = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4]
local policy = read_policy()
local no = refusal(policy, biggest, biggest_bytes)
if no then return no end
local new = read_new(blob, 5)
no = doubles(new, 0) or full(policy, #new.ids) or tenant_full(policy, new.tenants)
if no then return no end
if #new.ids == 0 then return {'ok', 0} end

local places = write_new(new, 0)
if #places.scheduled > 0 then call_with_many('ZADD', SCHEDULED, places.scheduled) end
if #places.deadlines > 0 then call_with_many('ZADD', DEADLINES, places.deadlines) end
for i = 1, #places.ready do
    local flow, ids = places.ready[i].flow, places.ready[i].ids
    call('RPUSH', FLOW_ .. flow.name, unpack(ids))
    activate(flow.lane, flow.tenant, now)
    change(lane_changes, flow.lane, #ids)
end
for lane, count in pairs(places.blocked) do change(lane_changes, '=' .. lane, count) end
for tenant, count in pairs(new.tenants) do change(tenant_changes, tenant, count) end
change(stat_changes, 'enqueued', #new.ids)
if batch ~= '' then
    change_batch(batch, 'total', #new.ids)
    call('RPUSH', BATCH_ .. batch .. ':ids', unpack(new.ids))
end
woken = true
write_counters(policy)
return {'ok', #new.ids}

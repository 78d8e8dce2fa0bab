-- needs: intake
-- ARGV: stage ('' opens one, 'of:STAGE' one that ends as that stage of the first partition does), tasks expected in all,
-- then as submit. Reply: {'ok', stage, tasks taken} or why not.

local first_stage = string.match(ARGV[1], '^of:(%d+)$')
local stage, expected = first_stage and '' or ARGV[1], tonumber(ARGV[2])
local batch, biggest, biggest_bytes, blob = ARGV[3], ARGV[4], tonumber(ARGV[5]), ARGV[6]
local policy = read_policy()
local no = refusal(policy, biggest, biggest_bytes)
if no then return no end
local new = read_new(blob, 7)

local reserved, staged = 0, 0
if stage ~= '' then
    local s = call('HMGET', STAGE_ .. stage, 'open', 'reserved', 'staged', 'first_stage')
    if not s[1] then return {'stage_lost'} end
    reserved, staged, first_stage = tonumber(s[2]), tonumber(s[3]), s[4]
end
no = doubles(new, tonumber(stage) or 0)
if no then return no end
local wanted = math.max(reserved, expected, staged + #new.ids)
no = full(policy, wanted - reserved) or tenant_full(policy, new.tenants)
if no then return no end

if stage == '' then
    stage = string.format('%d', call('HINCRBY', STATS, 'stages', 1) % 4294967295 + 1)
    call('HSET', STAGE_ .. stage, 'open', 1, 'opened', now, 'batch', batch)
    if first_stage then call('HSET', STAGE_ .. stage, 'first_stage', first_stage) end
end
local key = STAGE_ .. stage
call('ZADD', STAGES, first_stage and DECIDED_LATER + now or now, stage)
call('HINCRBY', LANES, '+', wanted - reserved)
call('HSET', key, 'reserved', wanted, 'staged', staged + #new.ids)
if #new.ids == 0 then return {'ok', stage, 0} end
call('RPUSH', key .. ':ids', unpack(new.ids))
local places = write_new(new, tonumber(stage))
if #places.scheduled > 0 then call_with_many('ZADD', key .. ':scheduled', places.scheduled) end
if #places.deadlines > 0 then call_with_many('ZADD', key .. ':deadlines', places.deadlines) end
for i = 1, #places.ready do
    local name, ids = places.ready[i].flow.name, places.ready[i].ids
    call('RPUSH', key .. ':flow:' .. name, unpack(ids))
    call('HINCRBY', key, 'flow:' .. name, #ids)
end
for lane, count in pairs(places.blocked) do call('HINCRBY', key, 'blocked:' .. lane, count) end
for session, ids in pairs(places.sessions) do
    call('RPUSH', key .. ':session:' .. session, unpack(ids))
    call('HSET', key, 'session:' .. session, 1)
end
for tenant, count in pairs(new.tenants) do
    call('HINCRBY', key, 'tenant:' .. tenant, count)
    change(tenant_changes, tenant, count)
end
write_counters(policy)
return {'ok', stage, #new.ids}

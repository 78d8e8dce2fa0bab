-- needs: flows
-- ARGV: id of a task that waits. Reply: about how many tasks of its model are served before it, or nothing when it does
-- not wait for a worker. Without a walk through the lane: ids that no longer wait are counted as if they did.

-- How many of a list, which is in order but for what was staged long, are before t.
local function place_in_list(flow, t)
    local low, high = 0, call('LLEN', FLOW_ .. flow)
    while low < high do
        local middle = math.floor((low + high) / 2)
        local other = waiting_at(flow, middle)
        if other and is_earlier(other, t) then low = middle + 1 else high = middle end
    end
    return low
end

local function flow_length(flow)
    return call('LLEN', FLOW_ .. flow) + call('ZCARD', BACK_ .. flow)
end

-- What other tenants are served until this one has had `own` turns: each by its weight, but no more than it has. Of more
-- than a hundred others the first ones speak for all.
local SAMPLE = 100
local function others_before(t, own)
    local tenants = call('ZRANGE', ACTIVE_ .. t.lane, 0, SAMPLE)
    local names = {'weight:default', 'weight:' .. t.tenant}
    for i = 1, #tenants do names[i + 2] = 'weight:' .. tenants[i] end
    local weights = call('HMGET', POLICY, unpack(names))
    local function weight(i) return tonumber(weights[i] or weights[1] or 1) end
    local before, seen = 0, 0
    for i = 1, #tenants do
        if tenants[i] ~= t.tenant then
            before = before + math.min(flow_length(tenants[i] .. ':' .. t.lane), own * weight(i + 2) / weight(2))
            seen = seen + 1
        end
    end
    local others = call('ZCARD', ACTIVE_ .. t.lane) - 1
    return seen > 0 and before * math.max(1, others / seen) or 0
end

local t = load_task(ARGV[1])
local behind = 0
if t and t.state == BLOCKED then
    behind = call('LPOS', SESSION_ .. t.session, t.id) or 0
    t = load_task(call('LINDEX', SESSION_ .. t.session, 0))
end
if not t or (t.state ~= PENDING and behind == 0) then return false end
if t.state ~= PENDING then return behind end

local own = place_in_list(t.flow, t) + call('ZLEXCOUNT', BACK_ .. t.flow, '-', '(' .. in_order(t))
local ahead = own + math.ceil(others_before(t, own + 1) - 0.5)
for priority = 0, t.priority - 1 do
    ahead = ahead + math.max(0, tonumber(call('HGET', LANES, t.model .. ':' .. priority) or 0))
end
return ahead + behind

-- needs: lib
-- A flow is what one tenant has waiting in one lane: new tasks stand in a list, those that came back in a set that keeps
-- the order of submission. Tenants take turns by virtual time (start-time fair queueing, Goyal et al. 1996): a task costs
-- its tenant 1/weight, and the one that has used least is next. Who begins to wait starts where the lane is, or at what
-- it had used before when that is more: neither rest nor haste earns a turn.

local ORDER = '>I6I4'  -- enqueued, sequence: before the id, what a set of equal scores is sorted by
local ORDER_BYTES = 10

local function in_order(t)
    return pack(ORDER, t.enqueued, t.sequence) .. t.id
end

local function is_earlier(a, b)
    if a.enqueued ~= b.enqueued then return a.enqueued < b.enqueued end
    return a.sequence < b.sequence
end

-- Ids stay in a flow when their task is cancelled, and a new task may bear the id of one long gone.
local function waits_in(t, flow)
    return t and t.state == PENDING and t.flow == flow
end

-- The tenant has tasks in the lane from now on, the oldest of them enqueued at `since` or later.
local function activate(lane, tenant, since)
    local active = ACTIVE_ .. lane
    if call('ZSCORE', active, tenant) then
        if since < now then call('ZADD', SINCE_ .. lane, 'LT', since, tenant) end
        return
    end
    local here = first_score(active)
    local used = here and tonumber(call('ZSCORE', RESTING_ .. lane, tenant) or 0) or 0
    call('ZADD', active, math.max(here or 0, used), tenant)
    call('ZADD', SINCE_ .. lane, since, tenant)
end

-- The tenant has nothing left in the lane. What it used is kept while others, who used less, still wait.
local function deactivate(lane, tenant)
    local active, resting = ACTIVE_ .. lane, RESTING_ .. lane
    local used = tonumber(call('ZSCORE', active, tenant) or 0)
    call('ZREM', active, tenant)
    call('ZREM', SINCE_ .. lane, tenant)
    local here = first_score(active)
    if not here then
        call('UNLINK', resting)
    else
        call('ZREMRANGEBYSCORE', resting, '-inf', here)
        if used > here then call('ZADD', resting, used, tenant) end
    end
end

-- Nothing that stands in the lane waits any more.
local function drop_lane(lane)
    local tenants = call('ZRANGE', ACTIVE_ .. lane, 0, -1)
    for i = 1, #tenants do
        local flow = tenants[i] .. ':' .. lane
        call('UNLINK', FLOW_ .. flow, BACK_ .. flow)
    end
    call('UNLINK', ACTIVE_ .. lane, RESTING_ .. lane, SINCE_ .. lane)
end

-- Who is next for `count` tasks: {tenant, count} each, by virtual time, which is charged for them at once.
local PICKS = 50
local function next_turns(policy, lane, count)
    local active = ACTIVE_ .. lane
    count = math.min(count, PICKS)
    local found = call('ZRANGE', active, 0, count, 'WITHSCORES')  -- one more, to know who is alone
    if #found <= 2 then return found[1] and {{tenant = found[1], count = count}} or {} end
    local names, turns = {'weight:default'}, {}
    for i = 1, #found, 2 do
        turns[#turns + 1] = {tenant = found[i], at = tonumber(found[i + 1]), count = 0}
        names[#names + 1] = 'weight:' .. found[i]
    end
    local weights = call('HMGET', POLICY, unpack(names))
    for i = 1, #turns do turns[i].cost = 1 / tonumber(weights[i + 1] or weights[1] or 1) end
    local function before(a, b) return a.at < b.at or (a.at == b.at and a.tenant < b.tenant) end
    for _ = 1, count do
        local turn, place = turns[1], 1
        turn.count, turn.at = turn.count + 1, turn.at + turn.cost
        while turns[place + 1] and before(turns[place + 1], turn) do
            turns[place] = turns[place + 1]
            place = place + 1
        end
        turns[place] = turn
    end
    local picked, scores = {}, {}
    for i = 1, #turns do
        if turns[i].count > 0 then
            picked[#picked + 1] = turns[i]
            scores[#scores + 1] = turns[i].at
            scores[#scores + 1] = turns[i].tenant
        end
    end
    call('ZADD', active, unpack(scores))
    return picked
end

-- What a tenant was charged for and did not have: a turn is paid only when it is taken.
local function give_back(lane, turn, unused)
    if turn.cost and unused > 0 then call('ZINCRBY', ACTIVE_ .. lane, -unused * turn.cost, turn.tenant) end
end

-- The task at a place of a flow's list; nil when there is none. What no longer waits there is as good as the first.
local LONG_GONE = {enqueued = 0, sequence = 0}
local function waiting_at(flow, place)
    local id = call('LINDEX', FLOW_ .. flow, place)
    if not id then return nil end
    local t = load_task(id)
    return waits_in(t, flow) and t or LONG_GONE
end

local function first_back(flow)
    local member = call('ZRANGE', BACK_ .. flow, 0, 0)[1]
    if not member then return nil end
    local t = {}
    t.enqueued, t.sequence = unpack_(ORDER, member)
    return t, member
end

-- Takes up to `count` of the earliest ids off a flow; nil when it is empty. They may no longer wait.
local function pop(flow, count)
    local back = first_back(flow)
    if not back then return call('LPOP', FLOW_ .. flow, count) or nil end
    local head = waiting_at(flow, 0)
    if head and is_earlier(head, back) then
        local last = waiting_at(flow, count - 1)
        local all_are = last and last ~= LONG_GONE and is_earlier(last, back)
        return call('LPOP', FLOW_ .. flow, all_are and count or 1)
    end
    local ids, members = {}, call('ZRANGE', BACK_ .. flow, 0, count - 1)
    for i = 1, #members do
        local t = {}
        t.enqueued, t.sequence = unpack_(ORDER, members[i])
        if head and is_earlier(head, t) then break end
        ids[i] = string.sub(members[i], ORDER_BYTES + 1)
    end
    call('ZREM', BACK_ .. flow, unpack(members, 1, #ids))
    return ids
end

-- The earliest task of a flow; ids that no longer wait are dropped on the way. Nil when nothing is left, false when
-- there were too many to drop at once.
local SKIPS = 100
local function head_of(flow)
    for _ = 1, SKIPS do
        local back, member = first_back(flow)
        local head = waiting_at(flow, 0)
        if not back and not head then return nil end
        if head and head ~= LONG_GONE and not (back and is_earlier(back, head)) then return head end
        if head == LONG_GONE then
            call('LPOP', FLOW_ .. flow)
        else
            local t = load_task(string.sub(member, ORDER_BYTES + 1))
            if waits_in(t, flow) then return t end
            call('ZREM', BACK_ .. flow, member)
        end
    end
    return false
end

-- The task that has waited longest in a lane, or nil. `SINCE` has for each tenant a time that its oldest is not older
-- than: claims leave it as it is, and whoever asks here corrects the lowest, a few at a time.
local function oldest_in(lane)
    local since = SINCE_ .. lane
    for _ = 1, SKIPS do
        local tenant, bound = unpack(call('ZRANGE', since, 0, 0, 'WITHSCORES'))
        if not tenant then return nil end
        local t = head_of(tenant .. ':' .. lane)
        if t == false then return nil end
        if t and t.enqueued <= tonumber(bound) then return t end
        if t then call('ZADD', since, t.enqueued, tenant) else deactivate(lane, tenant) end
    end
    return nil
end

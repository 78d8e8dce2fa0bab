-- needs: flows
-- How tasks come in: all are checked, then all are written. `blob` is what incoming.py packs: for each task the number of
-- its flow, 1 when a task of its id stands for it, delay and first moment in ms (0: none), id, and the record from the
-- priority on.

local function read_new(blob, first_flow)
    local new = {ids = {}, keys = {}, rest = {}, flows = {}, start = {}, once = {}, tenants = {}}
    local ids, keys, rest = new.ids, new.keys, new.rest
    local flows = {}
    for i = first_flow, #ARGV do
        local tenant, lane = string.match(ARGV[i], '^([^:]*):(.*)$')
        flows[i - first_flow] = {name = ARGV[i], tenant = tenant, lane = lane}
    end
    local position, n = 1, 0
    while position <= #blob do
        n = n + 1
        local flow, once, delay, not_before
        flow, once, delay, not_before, ids[n], rest[n], position = unpack_('>I2BI8I8I2c0I4c0', blob, position)
        new.flows[n], new.once[n] = flows[flow], once == 1
        new.start[n] = math.max(delay > 0 and now + delay or 0, not_before)
        keys[n] = TASK_ .. ids[n]
        change(new.tenants, flows[flow].tenant, 1)
    end
    return new
end

local function refusal(policy, biggest, biggest_bytes)
    if not policy then return {'not_found'} end
    if policy.closed then return {'closed'} end
    if biggest_bytes > policy.max_task_bytes then
        return {'too_large', biggest, biggest_bytes, policy.max_task_bytes}
    end
    return nil
end

local function held()
    local counts = call('HMGET', LANES, '*', '+')
    return tonumber(counts[1] or 0) + tonumber(counts[2] or 0) + call('ZCARD', SCHEDULED)
end

local function full(policy, wanted)
    local holds = held()
    if holds + wanted > policy.max_pending then return {'full', holds, policy.max_pending} end
    return nil
end

-- The most that a tenant may hold (nil: as much as it likes), and what it does: all that waits, for its time and in
-- stages too.
local function tenant_room(tenant)
    local limits = call('HMGET', POLICY, 'max_pending:' .. (tenant == '' and 'default' or tenant),
        'max_pending:default')
    return tonumber(limits[1] or limits[2]), tonumber(call('HGET', TENANTS, tenant) or 0)
end

local function tenant_full(policy, wanted)
    if not policy.tenant_limits then return nil end
    for tenant, count in pairs(wanted) do
        local limit, holds = tenant_room(tenant)
        if limit and holds + count > limit then return {'tenant_full', tenant, holds, limit} end
    end
    return nil
end

-- Refuses ids that are there, and leaves out tasks for which the one that is there stands. Of the stage itself a double
-- is a double; one of another stage may yet come to nothing.
local function doubles(new, stage)
    if #new.keys == 0 or call('EXISTS', unpack(new.keys)) == 0 then return nil end
    local kept = {}
    for i = 1, #new.keys do
        local record = call('GETRANGE', new.keys[i], 0, HEAD_BYTES + EXTRAS_BYTES - 1)
        if record == '' then
            kept[#kept + 1] = i
        else
            local t = parse(record)
            if t.stage ~= stage and is_staged(t) then return {'staged', new.ids[i]} end
            if not new.once[i] then return {'duplicate', new.ids[i]} end
            change(new.tenants, new.flows[i].tenant, -1)
        end
    end
    for _, list in pairs({new.ids, new.keys, new.rest, new.flows, new.start, new.once}) do
        local all = #list
        for place = 1, #kept do list[place] = list[kept[place]] end
        for place = #kept + 1, all do list[place] = nil end
    end
end

-- The name of a task's session, and its deadline.
local function read_rest(rest)
    local priority, model_bytes = unpack_('BB', rest)
    if priority % IS_ANNOUNCED < HAS_EXTRAS then return '', 0 end
    local deadline, batch_bytes, tenant_bytes, session_bytes, _, at = unpack_(EXTRAS, rest, 3)
    at = at + model_bytes + batch_bytes + tenant_bytes
    return string.sub(rest, at, at + session_bytes - 1), deadline
end

-- Writes the records, and returns where their ids belong: `ready` {flow, ids} each, `scheduled` and `deadlines` as score
-- and id, `blocked` counts by lane, and `sessions` {name -> ids} of a stage. The first write of the script: refused whole
-- when the store is full. A delayed task counts as enqueued when its delay ends: neither its time to live nor what it
-- waited includes the delay.
local function write_new(new, stage)
    local n = #new.ids
    local last = call('HINCRBY', STATS, 'sequence', n)
    local places = {ready = {}, scheduled = {}, deadlines = {}, blocked = {}, sessions = {}}
    local scheduled, deadlines = places.scheduled, places.deadlines
    local moving = pack(MOVING, PENDING, 0, 0, 0, 0, now, stage)
    local pairs_, by_flow = {}, {}
    for i = 1, n do
        local id, flow, moves = new.ids[i], new.flows[i], moving
        local session, deadline = read_rest(new.rest[i])
        if deadline > 0 then
            deadlines[#deadlines + 1] = deadline
            deadlines[#deadlines + 1] = id
        end
        local is_blocked = false
        if session ~= '' and stage ~= 0 then
            places.sessions[session] = places.sessions[session] or {}
            table.insert(places.sessions[session], id)
            is_blocked = true
        elseif session ~= '' then
            is_blocked = call('RPUSH', SESSION_ .. session, id) > 1
        end
        if is_blocked then
            moves = pack(MOVING, BLOCKED, 0, 0, 0, 0, now, stage)
            change(places.blocked, flow.lane, 1)
        elseif new.start[i] > now then
            moves = pack(MOVING, SCHEDULED_STATE, 0, 0, 0, 0, new.start[i], stage)
            scheduled[#scheduled + 1] = new.start[i]
            scheduled[#scheduled + 1] = id
        else
            local ids = by_flow[flow.name]
            if not ids then
                ids = {}
                by_flow[flow.name] = ids
                places.ready[#places.ready + 1] = {flow = flow, ids = ids}
            end
            ids[#ids + 1] = id
        end
        pairs_[2 * i - 1] = new.keys[i]
        pairs_[2 * i] = moves .. pack('>I4', (last - n + i) % 4294967296) .. new.rest[i]
    end
    call('MSET', unpack(pairs_))
    return places
end

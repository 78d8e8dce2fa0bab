-- needs: lib
-- Big submissions: tasks are staged in chunks, then one commit shows them all. A stage that is never committed is swept.
-- A submission to several partitions has a stage in each of them. That of the first one is decided (decide.lua), after
-- which all are committed, the first one last; the others know its number (`first_stage`) and outlive it never.

local SWEEP_AT_ONCE = 1000
local ABANDONED_MS = 10 * 60 * 1000

-- A stage's own fields, and its counts: tasks by flow, by tenant, and blocked by lane; and its sessions.
local function read_stage(key)
    local s, counts = {}, {flow = {}, tenant = {}, blocked = {}, session = {}}
    local fields = call('HGETALL', key)
    for i = 1, #fields, 2 do
        local kind, name = string.match(fields[i], '^(%l+):(.*)$')
        if kind then counts[kind][name] = tonumber(fields[i + 1]) else s[fields[i]] = fields[i + 1] end
    end
    return s, counts
end

local function move_list(from, to)
    if call('EXISTS', to) == 0 then
        if call('EXISTS', from) == 1 then call('RENAME', from, to) end
        return
    end
    local length = call('LLEN', from)
    for first = 0, length - 1, 1000 do
        call('RPUSH', to, unpack(call('LRANGE', from, first, first + 999)))
    end
    call('UNLINK', from)
end

local function move_zset(from, to)
    for first = 0, call('ZCARD', from) - 1, 1000 do
        local found = call('ZRANGE', from, first, first + 999, 'WITHSCORES')
        for i = 1, #found, 2 do found[i], found[i + 1] = found[i + 1], found[i] end
        call_with_many('ZADD', to, found)
    end
    call('UNLINK', from)
end

-- One bounded step of removing a stage and its tasks; whether it is gone. A stage once swept can take no more.
local function sweep_stage(stage)
    local key = STAGE_ .. stage
    local ids = call('LRANGE', key .. ':ids', 0, SWEEP_AT_ONCE - 1)
    call('HDEL', key, 'open')
    for i = 1, #ids do ids[i] = TASK_ .. ids[i] end
    delete_many(ids)
    call('LTRIM', key .. ':ids', SWEEP_AT_ONCE, -1)
    if #ids == SWEEP_AT_ONCE then return false end
    local s, counts = read_stage(key)
    if s.reserved then call('HINCRBY', LANES, '+', -tonumber(s.reserved)) end
    for name in pairs(counts.flow) do call('UNLINK', key .. ':flow:' .. name) end
    for name in pairs(counts.session) do call('UNLINK', key .. ':session:' .. name) end
    for tenant, count in pairs(counts.tenant) do change(tenant_changes, tenant, -count) end
    call('ZREM', STAGES, stage)
    call('UNLINK', key, key .. ':ids', key .. ':order', key .. ':scheduled', key .. ':deadlines')
    return true
end

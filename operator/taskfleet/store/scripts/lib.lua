-- Shared by every script: the clock, the policy, a task's record, counters. Concatenated before the script itself.

local call = redis.call
local pack, unpack_ = struct.pack, struct.unpack

local clock = call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)

-- Redis refuses a write that may grow memory above maxmemory, but only as the first write of a script: what has begun
-- may end. Work that runs must end even then, so its scripts begin with a write that cannot grow anything.
local function go_on_when_full()
    call('HDEL', POLICY, '')
end

-- Who listens to a queue hears of all its partitions on the queue's own channel, and which of them it was.
local function tell_listeners()
    local queue, partition = string.match(P, '^(tf:{[^/]*/[^/]*)/%d+%.(%d+)}:$')
    call('PUBLISH', queue and queue .. '}:wake' or WAKE, partition or '')
end

local NO_END = -1
local NUMBERS = '>I8I8I8I8I8I8I8BBBB'  -- codec.py
local function read_policy()
    local stored = call('HMGET', POLICY, 'version', 'paused_until', 'numbers')
    if not stored[1] then return nil end
    local paused_until = tonumber(stored[2] or 0)  -- NO_END: until it is resumed
    local paused = paused_until == NO_END or paused_until > now
    local max_pending, max_task_bytes, lease_ms, ttl_ms, max_attempts, keep_results_ms, keep_failed_ms, stopped, closed,
        tenant_limits, external = unpack_(NUMBERS, stored[3])
    return {
        version = tonumber(stored[1]), paused_until = paused_until, paused = paused,
        max_pending = max_pending, max_task_bytes = max_task_bytes, lease_ms = lease_ms, ttl_ms = ttl_ms,
        max_attempts = max_attempts, keep_results_ms = keep_results_ms, keep_failed_ms = keep_failed_ms,
        stopped = stopped == 1 or paused, closed = closed == 1, tenant_limits = tenant_limits == 1,
        external = external == 1,
    }
end

-- Lua passes at most some 8,000 arguments to one call.
local ARGS_AT_ONCE = 4000
local function call_with_many(command, key, args)
    local sum = 0
    for first = 1, #args, ARGS_AT_ONCE do
        sum = sum + call(command, key, unpack(args, first, math.min(first + ARGS_AT_ONCE - 1, #args)))
    end
    return sum
end

-- A small set or hash is one packed list to the server, which it reads from the beginning at each step: with a hundred
-- leases that was a third of what a task cost. A member of more than 64 bytes makes it a table or tree for good.
local NOT_PACKED = string.rep('-', 65)

local function delete_many(keys)
    for first = 1, #keys, ARGS_AT_ONCE do
        call('UNLINK', unpack(keys, first, math.min(first + ARGS_AT_ONCE - 1, #keys)))
    end
end

-- A task's record; codec.py describes it. The first part moves with the task and is overwritten in place.
local MOVING = '>c1BBI4I2I6I6'
local HEAD = '>c1BBI4I2I6I6I4BB'
local EXTRAS = '>I6BBBI3'
local MOVING_BYTES, PRIORITY_AT, HEAD_BYTES, EXTRAS_BYTES = 21, 25, 27, 12
local HAS_EXTRAS = 4
local HAS_EVENTS = 128  -- what is told of the task is kept (events.lua)
local IS_ANNOUNCED = 64  -- its end is told with its record (writing.lua)
local FIRST_READ = 192
local PENDING, SCHEDULED_STATE, RUNNING, COMPLETED, FAILED_STATE, CANCELLED, EXPIRED = 'p', 's', 'r', 'c', 'f', 'x', 'e'
local BLOCKED = 'b'  -- pending, behind another task of its session
local OF_PRIORITY = {[0] = ':0', ':1', ':2', ':3'}  -- the end of a lane's name; to write a number takes long
local STATE_WORDS = {c = 'completed', f = 'failed', x = 'cancelled', e = 'expired'}

local function parse(record)
    local state, cancel, lost, fence, attempts, enqueued, claimed, sequence, priority, model_bytes =
        unpack_(HEAD, record)
    local deadline, batch_bytes, tenant_bytes, session_bytes, metadata_bytes = 0, 0, 0, 0, 0
    local model_at, events = HEAD_BYTES, priority >= HAS_EVENTS
    if events then priority = priority - HAS_EVENTS end
    local announced = priority >= IS_ANNOUNCED
    if announced then priority = priority - IS_ANNOUNCED end
    if priority >= HAS_EXTRAS then
        priority, model_at = priority - HAS_EXTRAS, HEAD_BYTES + EXTRAS_BYTES
        deadline, batch_bytes, tenant_bytes, session_bytes, metadata_bytes = unpack_(EXTRAS, record, HEAD_BYTES + 1)
    end
    local batch_at = model_at + model_bytes
    local tenant_at = batch_at + batch_bytes
    local session_at = tenant_at + tenant_bytes
    local tenant = tenant_bytes > 0 and string.sub(record, tenant_at + 1, session_at) or ''
    local model = string.sub(record, model_at + 1, batch_at)
    local lane = model .. OF_PRIORITY[priority]
    return {
        id = false, fixed = false,  -- for load_task: a table that need not grow
        state = state, cancel = cancel, lost = lost, fence = fence, attempts = attempts, enqueued = enqueued,
        claimed = claimed, sequence = sequence, deadline = deadline, model = model, priority = priority,
        tenant = tenant, lane = lane, events = events, announced = announced,
        stage = fence == 0 and claimed or 0, flow = tenant .. ':' .. lane,
        batch = batch_bytes > 0 and string.sub(record, batch_at + 1, tenant_at) or '',
        session = session_bytes > 0 and string.sub(record, session_at + 1, session_at + session_bytes) or '',
        body_at = session_at + session_bytes + metadata_bytes,
    }
end

-- Stages that end by a decision stand this much later among those that time sweeps (stages.lua).
local DECIDED_LATER = 2 ^ 52

-- Whether a task belongs to a submission that has not been committed, and so is not there yet.
local open_stages = {}
local function is_staged(t)
    if t.stage == 0 then return false end
    if open_stages[t.stage] == nil then
        open_stages[t.stage] = call('ZSCORE', STAGES, t.stage) and true or false
    end
    return open_stages[t.stage]
end

-- A task without its body; nil when there is none, or when its submission has not been committed.
local function load_task(id)
    local record = call('GETRANGE', TASK_ .. id, 0, FIRST_READ - 1)
    if record == '' then return nil end
    local t = parse(record)
    if is_staged(t) then return nil end
    if t.body_at > #record then
        record = call('GETRANGE', TASK_ .. id, 0, t.body_at - 1)
    end
    t.id = id
    t.fixed = string.sub(record, MOVING_BYTES + 1, t.body_at)
    return t
end

-- The record of a final task: what comes before the body, and the body (of a dead letter; else '').
local function final_parts(record, t)
    local worker_end = t.body_at + 1 + string.byte(record, t.body_at + 1)
    local result_end = worker_end + 4 + unpack_('>I4', record, worker_end + 1)
    return string.sub(record, 1, result_end), string.sub(record, result_end + 1)
end

local function moving_part(t)
    return pack(MOVING, t.state, t.cancel, t.lost, t.fence, t.attempts, t.enqueued, t.claimed)
end

local function save_task(t)
    call('SETRANGE', TASK_ .. t.id, 0, moving_part(t))
end

-- Counters are collected while a script moves tasks, and written once at its end.
local lane_changes, tenant_changes, stat_changes, batch_changes = {}, {}, {}, {}
local woken = false

-- LANES also counts all that wait (*), what stages reserve (+), and for each lane what is blocked (=LANE).
local function is_lane(name)
    return not string.find(name, '^[*+=]')
end

local function change(counters, name, by)
    counters[name] = (counters[name] or 0) + by
end

-- A task begins (by 1) or ceases (by -1) to stand in its lane, or behind its session: both are pending.
local function change_pending(t, by)
    change(lane_changes, t.state == BLOCKED and '=' .. t.lane or t.lane, by)
end

local function change_batch(name, counter, by)
    if name ~= '' then
        batch_changes[name] = batch_changes[name] or {}
        change(batch_changes[name], counter, by)
    end
end

local function write_batch(name, changes, keep_ms)
    local key = BATCH_ .. name
    for counter, by in pairs(changes) do call('HINCRBY', key, counter, by) end
    local c = call('HMGET', key, 'total', 'completed', 'failed', 'cancelled', 'expired')
    local open = tonumber(c[1] or 0)
    for i = 2, 5 do open = open - tonumber(c[i] or 0) end
    if open == 0 then
        call('PEXPIRE', key, keep_ms)
        call('PEXPIRE', key .. ':ids', keep_ms)
        woken = true  -- whoever waits for the batch need not poll
    elseif changes.total or changes.failed then  -- it grows, or has a task of its own back
        call('PERSIST', key)
        call('PERSIST', key .. ':ids')
    end
end

-- Writes them; the lanes where nothing waits any more.
local function write_counters(policy)
    local waiting, emptied = 0, {}
    for lane, by in pairs(lane_changes) do
        if by ~= 0 and call('HINCRBY', LANES, lane, by) == 0 and is_lane(lane) then emptied[#emptied + 1] = lane end
        waiting = waiting + by
    end
    if waiting ~= 0 then call('HINCRBY', LANES, '*', waiting) end
    for tenant, by in pairs(tenant_changes) do
        if by ~= 0 and call('HINCRBY', TENANTS, tenant, by) == 0 then call('HDEL', TENANTS, tenant) end
    end
    for name, by in pairs(stat_changes) do
        if by ~= 0 then call('HINCRBY', STATS, name, by) end
    end
    for name, changes in pairs(batch_changes) do
        write_batch(name, changes, math.max(1, policy.keep_results_ms, policy.keep_failed_ms))
    end
    if woken then tell_listeners() end
    lane_changes, tenant_changes, stat_changes, batch_changes, woken = {}, {}, {}, {}, false
    return emptied
end

local function first_score(zset)
    return tonumber(call('ZRANGE', zset, 0, 0, 'WITHSCORES')[2])
end

-- How tasks leave `running` and `pending`: to a final state, or back to the front of their lane.

local freed = {}      -- ids whose lease ended in this script
local returning = {}  -- lane -> tasks that go back to its front
local arriving = {}   -- lane -> ids that come to its end
local TOO_LATE = '{"error":{"code":"deadline","message":"its deadline passed before it could run to its end"}}'

-- A task that runs may end after its deadline; none is begun after it, not even again.
local function is_late(t)
    return t.deadline > 0 and now >= t.deadline
end
local failed_now = {}

local function end_lease(t)
    freed[#freed + 1] = t.id
end

-- The record of a final task: worker and result JSON have taken the place of its body, which only a dead letter keeps.
local function finish(t, state, policy, worker, result)
    t.state = state
    local keep = state == FAILED_STATE and policy.keep_failed_ms or policy.keep_results_ms
    local record = moving_part(t) .. t.fixed .. pack('>B', #worker) .. worker .. pack('>I4', #result) .. result
    if state == FAILED_STATE then record = record .. call('GETRANGE', TASK_ .. t.id, t.body_at, -1) end
    call('SET', TASK_ .. t.id, record, 'PX', math.max(1, keep))
    if state == FAILED_STATE then
        failed_now[#failed_now + 1] = now
        failed_now[#failed_now + 1] = t.id
        change(stat_changes, 'failed_total', 1)
    else
        change(stat_changes, STATE_WORDS[state], 1)
    end
    if t.deadline > 0 then call('ZREM', DEADLINES, t.id) end
    change_batch(t.batch, STATE_WORDS[state], 1)
end

local function return_to_lane(t)
    t.state = PENDING
    save_task(t)
    local lane = returning[t.lane]
    if not lane then
        lane = {}
        returning[t.lane] = lane
    end
    lane[#lane + 1] = t
    change(lane_changes, t.lane, 1)
    woken = true
end

-- A task whose delay is over: behind all that came before that.
local function arrive(t)
    t.state = PENDING
    save_task(t)
    arriving[t.lane] = arriving[t.lane] or {}
    table.insert(arriving[t.lane], t.id)
    change(lane_changes, t.lane, 1)
    woken = true
end

local function later_first(a, b)
    if a.enqueued ~= b.enqueued then return a.enqueued > b.enqueued end
    return a.sequence > b.sequence
end

-- Takes off the head of a lane what was submitted before `newest`, which can only be what came back earlier.
local MERGED = 200
local function take_earlier(lane, newest, tasks)
    for _ = 1, MERGED do
        local id = call('LINDEX', LANE_ .. lane, 0)
        local t = id and load_task(id)
        local waits = t and t.state == PENDING and t.lane == lane
        if not id or (waits and not later_first(newest, t)) then return end
        call('LPOP', LANE_ .. lane)
        if waits then tasks[#tasks + 1] = t end
    end
end

-- Tasks come back to the front, in the order in which they were submitted.
local function write_returning()
    for lane, tasks in pairs(returning) do
        table.sort(tasks, later_first)
        take_earlier(lane, tasks[1], tasks)
        table.sort(tasks, later_first)
        local ids = {}
        for i = 1, #tasks do ids[i] = tasks[i].id end
        call_with_many('LPUSH', LANE_ .. lane, ids)
    end
    returning = {}
end

local function write_moves(policy)
    if #freed > 0 then
        call_with_many('ZREM', LEASES, freed)
        call_with_many('HDEL', HOLDERS, freed)
        freed = {}
    end
    if #failed_now > 0 then
        call_with_many('ZADD', FAILED, failed_now)
        failed_now = {}
    end
    write_returning()
    for lane, ids in pairs(arriving) do call_with_many('RPUSH', LANE_ .. lane, ids) end
    arriving = {}
    write_counters(policy)
end

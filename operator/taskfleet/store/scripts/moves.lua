-- needs: lib, flows, events
-- How tasks leave `running` and `pending`: to a final state, or back to their lane. What they changed is collected, and
-- written at the end of the script (writing.lua).

local begun = {}           -- end in ms and id of each lease that began in this script
local begun_by = {}        -- id and worker of each
local freed = {}           -- ids whose lease ended in this script
local failed_now = {}
local ended = {}           -- ids of what became final
local announced = {}       -- id and record of each of these that asked for it
local MOST_ANNOUNCED = 16384  -- bytes; who listens reads what is larger
local coming_back = {}     -- flow -> what comes back to it
local arriving = {}        -- flow -> ids that come to its end
local sessions_freed = {}  -- name -> true: its first task became final
local TOO_LATE = '{"error":{"code":"deadline","message":"its deadline passed before it could run to its end"}}'

-- A task that runs may end after its deadline; none is begun after it, not even again.
local function is_late(t)
    return t.deadline > 0 and now >= t.deadline
end

local function is_too_old(t, policy)
    return now - t.enqueued > policy.ttl_ms
end

local function begin_lease(t, id, worker, policy)
    t.state, t.fence, t.attempts, t.claimed = RUNNING, t.fence + 1, t.attempts + 1, now
    call('SETRANGE', TASK_ .. id, 0, moving_part(t))
    begun[#begun + 1] = now + policy.lease_ms
    begun[#begun + 1] = id
    begun_by[#begun_by + 1] = id
    begun_by[#begun_by + 1] = worker
end

-- Apart from what else is written: claims write nothing else that moved.
local function write_leases()
    if #begun == 0 then return end
    call_with_many('ZADD', LEASES, begun)
    call_with_many('HSET', HOLDERS, begun_by)
end

local function end_lease(t)
    freed[#freed + 1] = t.id
end

-- An id stays in its flow when its task ceases to wait, until a claim skips it.
local function stop_waiting(t)
    if t.state == SCHEDULED_STATE then call('ZREM', SCHEDULED, t.id) else change_pending(t, -1) end
    change(tenant_changes, t.tenant, -1)
end

-- The end of an attempt that did not end its task. `details` is what endings.py says of it.
local KEPT_ATTEMPTS = 20
local function note_attempt(t, worker, details)
    local all = cjson.decode(call('HGET', ATTEMPTS, t.id) or '[]')
    local entry = cjson.decode(details)
    entry.number, entry.worker, entry.claimed_at, entry.ended_at = t.attempts, worker, t.claimed, now
    all[#all + 1] = entry
    if #all > KEPT_ATTEMPTS then table.remove(all, 1) end
    call('HSET', ATTEMPTS, t.id, cjson.encode(all))
    if t.events then call('HDEL', PROGRESS, t.id) end
end

-- The result of a task with what was noted of its earlier attempts.
local function with_attempts(t, result)
    if t.fence <= (t.state == RUNNING and 1 or 0) then return result end
    local noted = call('HGET', ATTEMPTS, t.id)
    if not noted then return result end
    call('HDEL', ATTEMPTS, t.id)
    return string.sub(result, 1, -2) .. (result == '{}' and '' or ',') .. '"history":' .. noted .. '}'
end

-- The record of a final task: worker and result JSON have taken the place of its body, which only a dead letter keeps.
local function finish(t, state, policy, worker, result)
    result = with_attempts(t, result)
    if t.state ~= RUNNING then stop_waiting(t) end
    if t.state == BLOCKED then
        call('LREM', SESSION_ .. t.session, 1, t.id)
    elseif t.session ~= '' then
        sessions_freed[t.session] = true
    end
    t.state = state
    local keep = state == FAILED_STATE and policy.keep_failed_ms or policy.keep_results_ms
    local record = moving_part(t) .. t.fixed .. string.char(#worker) .. worker .. pack('>I4', #result) .. result
    if t.announced and #record <= MOST_ANNOUNCED then
        announced[#announced + 1] = pack('>I2c0I4c0', #t.id, t.id, #record, record)
    end
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
    if t.events then tell_end(t, state, keep) end
    ended[#ended + 1] = t.id
end

local function wait_in(flows, t)
    t.state = PENDING
    save_task(t)
    flows[t.flow] = flows[t.flow] or {lane = t.lane, tenant = t.tenant, since = t.enqueued}
    flows[t.flow].since = math.min(flows[t.flow].since, t.enqueued)
    change_pending(t, 1)
    woken = true
    return flows[t.flow]
end

-- A task waits again, before all that were submitted after it.
local function come_back(t)
    if t.state == RUNNING then change(tenant_changes, t.tenant, 1) end
    local flow = wait_in(coming_back, t)
    flow[#flow + 1] = 0
    flow[#flow + 1] = in_order(t)
end

-- A task whose delay is over: behind all that came before that.
local function arrive(t)
    local flow = wait_in(arriving, t)
    flow[#flow + 1] = t.id
end

-- needs: writing
-- What time brings, in bounded steps: leases of silent workers end, scheduled retries wait again, old tasks expire.

local AT_ONCE = 100
local LOST = '{"error":{"code":"worker_lost","message":"its worker stopped answering and no attempt is left; ' ..
    'the last one was number %d"}}'
local POISON = '{"error":{"code":"poison","message":"its worker died twice while it ran; redrive it if that was not ' ..
    'its fault"}}'
local LOST_ATTEMPT = '{"error":{"code":"worker_lost","message":"its worker stopped answering"}}'
local TOO_OLD = '{"error":{"code":"expired","message":"it waited longer than the queue\'s taskTTL"}}'

local function expire(t, policy, why)
    finish(t, EXPIRED, policy, '', why)
    woken = true
end

-- A task that took this many workers with it is set aside, whatever attempts are left. All leases end together when the
-- store is away for longer than one; those deaths are taken back when the workers are heard again (heartbeat.lua), which
-- is soon, and a second one cannot come before another whole lease.
local DEATHS = 2

local function reap(policy)
    local ids = call('ZRANGEBYSCORE', LEASES, '-inf', now, 'LIMIT', 0, AT_ONCE)
    if #ids == 0 then return 0 end
    local holders = call('HMGET', HOLDERS, unpack(ids))
    for i = 1, #ids do
        local t = load_task(ids[i])
        freed[#freed + 1] = ids[i]
        if t and t.state == RUNNING then
            change(stat_changes, 'lease_expired', 1)
            if t.cancel == 1 then
                finish(t, CANCELLED, policy, holders[i] or '', '{}')
            elseif t.lost + 1 >= DEATHS and not policy.external then
                t.lost = t.lost + 1
                finish(t, FAILED_STATE, policy, holders[i] or '', POISON)
            elseif t.attempts >= policy.max_attempts then
                finish(t, FAILED_STATE, policy, holders[i] or '', string.format(LOST, t.attempts))
            elseif is_late(t) then
                finish(t, EXPIRED, policy, holders[i] or '', TOO_LATE)
            else
                change(stat_changes, 'retries.worker_lost', 1)
                note_attempt(t, holders[i] or '', LOST_ATTEMPT)
                t.lost = t.lost + 1
                come_back(t)
            end
        end
    end
    return #ids
end

local function promote()
    local ids = call('ZRANGEBYSCORE', SCHEDULED, '-inf', now, 'LIMIT', 0, AT_ONCE)
    if #ids == 0 then return 0 end
    call('ZREM', SCHEDULED, unpack(ids))
    for i = 1, #ids do
        local t = load_task(ids[i])
        if t and t.state == SCHEDULED_STATE then
            if t.fence == 0 then arrive(t) else come_back(t) end
        end
    end
    return #ids
end

-- What waits past its deadline, also in the middle of its lane. What runs is looked at again when it comes back.
local function end_late(policy)
    local ids = call('ZRANGEBYSCORE', DEADLINES, '-inf', now, 'LIMIT', 0, AT_ONCE)
    if #ids == 0 then return 0 end
    call('ZREM', DEADLINES, unpack(ids))
    for i = 1, #ids do
        local t = load_task(ids[i])
        if t and is_late(t) and t.state ~= RUNNING and not STATE_WORDS[t.state] then expire(t, policy, TOO_LATE) end
    end
    return #ids
end

-- Whether there may be more to do at once.
local function bring_due(policy)
    local late, reaped, promoted = end_late(policy), reap(policy), promote()
    return late == AT_ONCE or reaped == AT_ONCE or promoted == AT_ONCE
end

local function next_due(policy)
    local due = math.min(first_score(SCHEDULED) or math.huge, first_score(LEASES) or math.huge,
        first_score(DEADLINES) or math.huge)
    if policy.paused_until > now then due = math.min(due, policy.paused_until) end
    return due < math.huge and due or nil
end

-- needs: writing, silence
-- What time brings, in bounded steps: leases of silent workers end, scheduled retries wait again, old tasks expire.

local AT_ONCE = 100
local LOST = '{"error":{"code":"worker_lost","message":"its worker stopped answering and no attempt is left; ' ..
    'the last one was number %d"}}'
local POISON = '{"error":{"code":"poison","message":"its worker died twice while it ran; redrive it if that was not ' ..
    'its fault"}}'
local LOST_ATTEMPT = '{"error":{"code":"worker_lost","message":"its worker stopped answering"}}'
local NEVER_BEGUN = '{"error":{"code":"claim_lost","message":"the answer to the claim did not reach its worker"}}'
local TOO_OLD = '{"error":{"code":"expired","message":"it waited longer than the queue\'s taskTTL"}}'

local function expire(t, policy, why)
    finish(t, EXPIRED, policy, '', why)
    woken = true
end

-- A task that took this many workers with it is set aside, whatever attempts are left. A worker that was cut off, or
-- slept while others worked, did not die: that death is taken back when it is heard again (heartbeat.lua).
local DEATHS = 2

-- Whether the process that took a lease at `since` was heard at a moment or later: then it did not die of the task.
local function was_heard(worker, since, after)
    local began = tonumber(string.match(call('HGET', BEGAN, worker) or '', '^(%d+):'))
    return began and began < since and tonumber(call('ZSCORE', SEEN, worker) or 0) >= after
end

local function earlier_deaths(t)
    if t.lost == 0 then return 0 end
    local count = 0
    for _, noted in ipairs(cjson.decode(call('HGET', ATTEMPTS, t.id) or '[]')) do
        local is_loss = noted.error and noted.error.code == 'worker_lost'
        if is_loss and not was_heard(noted.worker, noted.claimed_at, noted.ended_at) then count = count + 1 end
    end
    return math.min(count, t.lost)
end

-- A worker that is heard and lets a lease end never knew of it: the answer to its claim was lost on the way.
local function was_never_begun(t, holder, policy)
    return was_heard(holder, t.claimed, now - policy.lease_ms + 1)
end

local function wait_again(t, holder, policy, reason, details)
    if is_late(t) then
        finish(t, EXPIRED, policy, holder, TOO_LATE)
    else
        change(stat_changes, 'retries.' .. reason, 1)
        note_attempt(t, holder, details)
        come_back(t)
    end
end

local function lose(t, holder, policy)
    t.lost = earlier_deaths(t) + 1
    if t.lost >= DEATHS and not policy.external then
        finish(t, FAILED_STATE, policy, holder, POISON)
    elseif t.attempts >= policy.max_attempts then
        finish(t, FAILED_STATE, policy, holder, string.format(LOST, t.attempts))
    else
        wait_again(t, holder, policy, 'worker_lost', LOST_ATTEMPT)
    end
end

local function reap(policy)
    local ids = call('ZRANGEBYSCORE', LEASES, '-inf', now, 'LIMIT', 0, AT_ONCE)
    if #ids == 0 or spare(policy) > now then return 0 end
    local holders = call('HMGET', HOLDERS, unpack(ids))
    for i = 1, #ids do
        local t = load_task(ids[i])
        freed[#freed + 1] = ids[i]
        if t and t.state == RUNNING then
            change(stat_changes, 'lease_expired', 1)
            local holder = holders[i] or ''
            if t.cancel == 1 then
                finish(t, CANCELLED, policy, holder, '{}')
            elseif was_never_begun(t, holder, policy) then
                t.attempts = t.attempts - 1
                wait_again(t, holder, policy, 'claim_lost', NEVER_BEGUN)
            else
                lose(t, holder, policy)
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

-- What waits past its deadline, also in the middle of its lane, and what a claim found to have waited too long. What runs
-- is looked at again when it comes back.
local function end_late(policy)
    local ids = call('ZRANGEBYSCORE', DEADLINES, '-inf', now, 'LIMIT', 0, AT_ONCE)
    if #ids == 0 then return 0 end
    call('ZREM', DEADLINES, unpack(ids))
    for i = 1, #ids do
        local t = load_task(ids[i])
        local waits = t and t.state ~= RUNNING and not STATE_WORDS[t.state]
        if waits and is_late(t) then
            expire(t, policy, TOO_LATE)
        elseif waits and is_too_old(t, policy) then
            expire(t, policy, TOO_OLD)
        end
    end
    return #ids
end

-- Whether there may be more to do at once.
local function bring_due(policy)
    local late, reaped, promoted = end_late(policy), reap(policy), promote()
    return late == AT_ONCE or reaped == AT_ONCE or promoted == AT_ONCE
end

local function next_due(policy)
    local lease = first_score(LEASES) or math.huge
    if lease <= now then lease = math.max(lease, spared_until()) end
    local due = math.min(first_score(SCHEDULED) or math.huge, lease, first_score(DEADLINES) or math.huge)
    if policy.paused_until > now then due = math.min(due, policy.paused_until) end
    return due < math.huge and due or nil
end

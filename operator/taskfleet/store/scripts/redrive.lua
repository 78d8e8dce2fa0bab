-- needs: intake, writing
-- ARGV: ids of dead letters. Reply: {'ok', for each what became of it}, fewer than asked for when they are big; or why not.
-- A task comes back as if submitted now: at the end of its lane, all attempts before it, its time to live anew. A
-- deadline that has passed is dropped: who redrives it wants it to run.

local ENOUGH_BYTES = 8 * 1024 * 1024
local policy = read_policy()
local no = refusal(policy, '', 0)
if no then return no end

local tasks, count, wanted = {}, 0, {}
for i = 1, #ARGV do
    tasks[i] = load_task(ARGV[i]) or false
    if tasks[i] and tasks[i].state == FAILED_STATE then
        count = count + 1
        change(wanted, tasks[i].tenant, 1)
    end
end
no = full(policy, count) or tenant_full(policy, wanted)
if no then return no end

local answers, bytes = {'ok'}, 0
for i = 1, #ARGV do
    local t = tasks[i]
    if not t then
        answers[i + 1] = 'not_found'
    elseif t.state ~= FAILED_STATE then
        answers[i + 1] = 'not_failed'
    else
        local _, body = final_parts(call('GET', TASK_ .. t.id), t)
        t.cancel, t.lost, t.attempts, t.enqueued, t.claimed = 0, 0, 0, now, 0
        local is_blocked = t.session ~= '' and call('RPUSH', SESSION_ .. t.session, t.id) > 1
        t.state = is_blocked and BLOCKED or PENDING
        local sequence = call('HINCRBY', STATS, 'sequence', 1) % 4294967296
        local deadline, fixed = t.deadline > now and t.deadline or 0, string.sub(t.fixed, 5)
        if deadline ~= t.deadline then fixed = string.sub(fixed, 1, 2) .. pack('>I6', 0) .. string.sub(fixed, 9) end
        call('SET', TASK_ .. t.id, moving_part(t) .. pack('>I4', sequence) .. fixed .. body)
        if deadline > 0 then call('ZADD', DEADLINES, deadline, t.id) end
        call('ZREM', FAILED, t.id)
        if t.events then call('UNLINK', EVENTS_ .. t.id) end
        if is_blocked then change_pending(t, 1) else arrive(t) end
        change(tenant_changes, t.tenant, 1)
        change(stat_changes, 'redriven', 1)
        if call('EXISTS', BATCH_ .. t.batch) == 1 then change_batch(t.batch, 'failed', -1) end
        answers[i + 1] = 'redriven'
        woken = true
        bytes = bytes + #body
    end
    if bytes > ENOUGH_BYTES then break end
end
write_moves(policy)
return answers

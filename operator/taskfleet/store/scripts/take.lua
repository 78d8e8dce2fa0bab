-- needs: writing
-- ARGV: worker, ids. Leases tasks by their ids, whatever waits before them and also ahead of their time. Reply: {version,
-- stopped, now, then id and record, as before the lease, of each that is the worker's now, '', ids that still wait}. All
-- others are someone else's, or have ended.

local worker, policy = ARGV[1], read_policy()
if not policy then return {0, 1, now, ''} end
local taken, left = {}, {}

local function lease(t, record)
    stop_waiting(t)
    t.enqueued = math.min(t.enqueued, now)  -- it no longer waits for its time
    taken[#taken + 1] = t.id
    taken[#taken + 1] = moving_part(t) .. string.sub(record, MOVING_BYTES + 1)
    begin_lease(t, t.id, worker, policy)
end

go_on_when_full()
for i = 2, #ARGV do
    local t = load_task(ARGV[i])
    if t and (t.state == BLOCKED or (t.state == PENDING or t.state == SCHEDULED_STATE) and policy.stopped) then
        left[#left + 1] = t.id
    elseif t and (t.state == PENDING or t.state == SCHEDULED_STATE) then
        if is_late(t) or is_too_old(t, policy) then
            call('ZADD', DEADLINES, now, t.id)  -- its end is for tick.lua
            woken = true
        else
            lease(t, call('GET', TASK_ .. t.id))
        end
    end
end
write_leases()
write_moves(policy)
local reply = {policy.version, policy.stopped and 1 or 0, now}
for i = 1, #taken do reply[#reply + 1] = taken[i] end
reply[#reply + 1] = ''
for i = 1, #left do reply[#reply + 1] = left[i] end
return reply

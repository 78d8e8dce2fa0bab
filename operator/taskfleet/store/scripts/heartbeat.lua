-- needs: silence
-- ARGV: worker, a word for this process of it, its report as JSON, ms of the lease (0: the queue's), then id and fence of
-- each. Reply: {lost ids, cancelled ids}.

local worker, process, report, lease_ms = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local policy = read_policy()
if policy and lease_ms == 0 then lease_ms = policy.lease_ms end
local DEATHS_AT = 2  -- of a record
local lost, cancelled, renewed = {}, {}, {}
if policy then
    go_on_when_full()
    end_silence(policy)
    call('HSET', WORKERS, worker, report)
    call('ZADD', SEEN, now, worker)
    local began = call('HGET', BEGAN, worker)
    if not began or string.match(began, ':(.*)') ~= process then
        call('HSET', BEGAN, worker, string.format('%.0f:', now) .. process)
    end
end
for i = 5, #ARGV, 2 do
    local id, fence = ARGV[i], tonumber(ARGV[i + 1])
    local part = policy and call('GETRANGE', TASK_ .. id, 0, MOVING_BYTES - 1) or ''
    local state, cancel, deaths, current
    if part ~= '' then state, cancel, deaths, current = unpack_(MOVING, part) end
    -- Who names a lease that was taken from it did not die with its task: it was cut off, or its machine slept. Its lease
    -- counted as a death (due.lua), and no longer does.
    local taken_back = current == fence + 1 or (current == fence and state ~= RUNNING)
    if taken_back and deaths > 0 and not STATE_WORDS[state] then
        call('SETRANGE', TASK_ .. id, DEATHS_AT, pack('>B', deaths - 1))
    end
    if state ~= RUNNING or current ~= fence then
        lost[#lost + 1] = id
    else
        renewed[#renewed + 1] = now + lease_ms
        renewed[#renewed + 1] = id
        if cancel == 1 then cancelled[#cancelled + 1] = id end
    end
end
if #renewed > 0 then call_with_many('ZADD', LEASES, renewed) end
return {lost, cancelled}

-- needs: lib, moves
-- ARGV: ids. Reply: for each what became of it.

local policy = read_policy()
local answers = {}
go_on_when_full()
for i = 1, #ARGV do
    local t = policy and load_task(ARGV[i])
    if not t then
        answers[i] = 'not_found'
    elseif t.state == RUNNING then
        t.cancel = 1
        save_task(t)
        answers[i] = 'cancelling'
        woken = true
    elseif t.state == PENDING or t.state == SCHEDULED_STATE then
        if t.state == PENDING then
            change(lane_changes, t.lane, -1)  -- the id stays in the lane until a claim skips it
        else
            call('ZREM', SCHEDULED, t.id)
        end
        call('HDEL', ERRORS, t.id)
        finish(t, CANCELLED, policy, '', '{}')
        answers[i] = 'cancelled'
        woken = true
    else
        answers[i] = 'finished'
    end
end
if policy then
    local lanes = lane_changes
    write_moves(policy)
    for lane in pairs(lanes) do
        if tonumber(call('HGET', LANES, lane)) == 0 then call('UNLINK', LANE_ .. lane) end
    end
end
return answers

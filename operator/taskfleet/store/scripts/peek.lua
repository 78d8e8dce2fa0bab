-- needs: lib, moves
-- ARGV: lane, first place, places. Reply: {places looked at, id, record, ...} of the tasks that wait there and that a
-- claim would bring. Changes nothing.

local lane, first, places = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local policy = read_policy()
if not policy then return {0} end

local ids = call('LRANGE', LANE_ .. lane, first, first + places - 1)
local answer = {#ids}
for i = 1, #ids do
    local t = load_task(ids[i])
    local waits = t and t.state == PENDING and t.lane == lane
    if waits and now - t.enqueued <= policy.ttl_ms and not is_late(t) then
        answer[#answer + 1] = ids[i]
        answer[#answer + 1] = call('GET', TASK_ .. ids[i])
    end
end
return answer

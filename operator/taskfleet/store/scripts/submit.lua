-- needs: lib, intake
-- ARGV: batch, id and bytes of the biggest task, blob, names of the lanes. Reply: {'ok'} or why not.

local batch, biggest, biggest_bytes, blob = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4]
local policy = read_policy()
local no = refusal(policy, biggest, biggest_bytes)
if no then return no end
local new = read_new(blob)
no = full(policy, #new.ids) or duplicate(new, 0)
if no then return no end

local by_lane, scheduled, deadlines = write_new(new, 0)
if #scheduled > 0 then call_with_many('ZADD', SCHEDULED, scheduled) end
if #deadlines > 0 then call_with_many('ZADD', DEADLINES, deadlines) end
for lane, ids in pairs(by_lane) do
    local name = ARGV[5 + lane]
    call('RPUSH', LANE_ .. name, unpack(ids))
    change(lane_changes, name, #ids)
end
change(stat_changes, 'enqueued', #new.ids)
if batch ~= '' then
    change_batch(batch, 'total', #new.ids)
    call('RPUSH', BATCH_ .. batch .. ':ids', unpack(new.ids))
end
woken = true
write_counters(policy)
return {'ok'}

-- needs: lib, stages
-- ARGV: stage. Makes all its tasks visible at once. Reply: {'ok'} or why not.

local stage = ARGV[1]
local policy = read_policy()
if not policy then return {'not_found'} end
if policy.closed then return {'closed'} end
local key = STAGE_ .. stage
local fields = call('HGETALL', key)
local s = {}
for i = 1, #fields, 2 do s[fields[i]] = fields[i + 1] end
if not s.open then return {'stage_lost'} end
go_on_when_full()  -- the memory has been taken already

for name, count in pairs(s) do
    if string.sub(name, 1, 5) == 'lane:' then
        local lane = string.sub(name, 6)
        move_list(key .. ':' .. lane, LANE_ .. lane)
        change(lane_changes, lane, tonumber(count))
    end
end
move_zset(key .. ':scheduled', SCHEDULED)
move_zset(key .. ':deadlines', DEADLINES)
if s.batch ~= '' then
    move_list(key .. ':ids', BATCH_ .. s.batch .. ':ids')
    change_batch(s.batch, 'total', tonumber(s.staged))
end
change(stat_changes, 'enqueued', tonumber(s.staged))
call('HINCRBY', LANES, '+', -tonumber(s.reserved))
call('ZREM', STAGES, stage)
call('UNLINK', key, key .. ':ids')
woken = true
write_counters(policy)
return {'ok'}

-- needs: stages, writing
-- ARGV: stage. Makes all its tasks visible at once. Reply: {'ok'} or why not.

local stage = ARGV[1]
local policy = read_policy()
if not policy then return {'not_found'} end
local key = STAGE_ .. stage
local s, counts = read_stage(key)
if not s.open then return {'stage_lost'} end
local is_decided = s.decided or s.first_stage
if policy.closed and not is_decided then return {'closed'} end
go_on_when_full()  -- the memory has been taken already

call('ZREM', STAGES, stage)  -- its tasks are there from now on
for name, count in pairs(counts.flow) do
    local tenant, lane = string.match(name, '^([^:]*):(.*)$')
    move_list(key .. ':flow:' .. name, FLOW_ .. name)
    activate(lane, tenant, tonumber(s.opened))
    change(lane_changes, lane, count)
end
for lane, count in pairs(counts.blocked) do change(lane_changes, '=' .. lane, count) end
for session in pairs(counts.session) do
    move_list(key .. ':session:' .. session, SESSION_ .. session)
    sessions_freed[session] = true  -- its first task may be one of these
end
move_zset(key .. ':scheduled', SCHEDULED)
move_zset(key .. ':deadlines', DEADLINES)
if s.batch ~= '' then
    if s.decided then
        move_list(key .. ':order', BATCH_ .. s.batch .. ':order')
        call('ZADD', ORDERS, now, s.batch)
    elseif not s.first_stage then
        move_list(key .. ':ids', BATCH_ .. s.batch .. ':ids')
    end
    change_batch(s.batch, 'total', tonumber(s.staged))
end
change(stat_changes, 'enqueued', tonumber(s.staged))
call('HINCRBY', LANES, '+', -tonumber(s.reserved))
call('UNLINK', key, key .. ':ids')
woken = true
write_moves(policy)
return {'ok'}

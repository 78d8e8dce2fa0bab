-- needs: lib, intake
-- ARGV: stage ('' opens one), tasks expected in all, then as submit. Reply: {'ok', stage} or why not.

local stage, expected = ARGV[1], tonumber(ARGV[2])
local batch, biggest, biggest_bytes, blob = ARGV[3], ARGV[4], tonumber(ARGV[5]), ARGV[6]
local policy = read_policy()
local no = refusal(policy, biggest, biggest_bytes)
if no then return no end
local new = read_new(blob)

local reserved, staged = 0, 0
if stage ~= '' then
    local s = call('HMGET', STAGE_ .. stage, 'open', 'reserved', 'staged')
    if not s[1] then return {'stage_lost'} end
    reserved, staged = tonumber(s[2]), tonumber(s[3])
end
local wanted = math.max(reserved, expected, staged + #new.ids)
no = full(policy, wanted - reserved) or duplicate(new, tonumber(stage))
if no then return no end

if stage == '' then
    stage = string.format('%d', call('HINCRBY', STATS, 'stages', 1) % 4294967295 + 1)
    call('HSET', STAGE_ .. stage, 'open', 1, 'batch', batch)
end
local key = STAGE_ .. stage
call('ZADD', STAGES, now, stage)
call('HINCRBY', LANES, '+', wanted - reserved)
call('HSET', key, 'reserved', wanted, 'staged', staged + #new.ids)
call('RPUSH', key .. ':ids', unpack(new.ids))
local by_lane, scheduled, deadlines = write_new(new, tonumber(stage))
if #scheduled > 0 then call_with_many('ZADD', key .. ':scheduled', scheduled) end
if #deadlines > 0 then call_with_many('ZADD', key .. ':deadlines', deadlines) end
for lane, ids in pairs(by_lane) do
    local name = ARGV[7 + lane]
    call('RPUSH', key .. ':' .. name, unpack(ids))
    call('HINCRBY', key, 'lane:' .. name, #ids)
end
return {'ok', stage}

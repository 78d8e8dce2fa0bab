-- needs: due
-- ARGV: worker, count, 1 when what is due has just been brought, models. Reply: {version, stopped, now, ms until
-- something is due (-1: nothing), id, record, ...} with each record as it was before this claim. Nothing is claimed while
-- something is due: to bring it is for tick.lua, since most claims need none of what that takes.

local worker, wanted, brought, FIRST_MODEL = ARGV[1], tonumber(ARGV[2]), ARGV[3] == '1', 4
local policy = read_policy()
if not policy then return {0, 1, now, -1} end
local due = next_due(policy)
if due and due <= now and not brought then return {policy.version, policy.stopped and 1 or 0, now, 0} end

local AT_A_TIME = 20                   -- tasks read at once: the most that one read too many can cost
local ENOUGH_BYTES = 8 * 1024 * 1024   -- a claim brings no more than this, and one reading
local skips_left, bytes, met_old = 1000 + wanted, 0, false
local found = {}
local served = {}  -- ids: one that was used again stands in its flow twice, maybe in one reading

local function lease(t, id, record)
    begin_lease(t, id, worker, policy)
    change(lane_changes, t.lane, -1)
    change(tenant_changes, t.tenant, -1)
    found[#found + 1] = id
    found[#found + 1] = record
    bytes = bytes + #record
end

-- Up to `count` tasks of a flow; how many, and whether the flow has run dry.
local function take_of(flow, count)
    local taken = 0
    while taken < count and skips_left > 0 and bytes < ENOUGH_BYTES do
        local ids = pop(flow, math.min(count - taken, AT_A_TIME))
        if not ids then return taken, true end
        local keys = {}
        for i = 1, #ids do keys[i] = TASK_ .. ids[i] end
        local records = call('MGET', unpack(keys))
        for i = 1, #ids do
            local t = records[i] and parse(records[i])
            if served[ids[i]] or not waits_in(t, flow) or is_staged(t) then
                skips_left = skips_left - 1
            elseif is_too_old(t, policy) or is_late(t) then
                skips_left = skips_left - 1
                served[ids[i]] = true
                met_old = true
                call('ZADD', DEADLINES, now, ids[i])  -- its end is for tick.lua
            else
                served[ids[i]] = true
                lease(t, ids[i], records[i])
                taken = taken + 1
            end
        end
    end
    return taken, false
end

-- Up to `count` tasks of a lane, its tenants in turn; how many, and whether the lane has run dry.
local function take(lane, count)
    local taken = 0
    while taken < count and skips_left > 0 and bytes < ENOUGH_BYTES do
        local turns = next_turns(policy, lane, count - taken)
        if #turns == 0 then return taken, true end
        for i = 1, #turns do
            local turn = turns[i]
            local got, dry = take_of(turn.tenant .. ':' .. lane, turn.count)
            taken = taken + got
            give_back(lane, turn, turn.count - got)
            if dry then deactivate(lane, turn.tenant) end
        end
    end
    return taken, false
end

-- Lanes of one priority get equal shares, beginning with another one at each claim, so that none waits for ever.
local function take_fairly(lanes, turn, count)
    local open, taken = {}, 0
    for i = 1, #lanes do open[i] = lanes[(i + turn) % #lanes + 1] end
    while #open > 0 and taken < count and skips_left > 0 and bytes < ENOUGH_BYTES do
        local share, still_open = math.ceil((count - taken) / #open), {}
        for i = 1, #open do
            local got, dry = take(open[i], math.min(share, count - taken))
            taken = taken + got
            if not dry then still_open[#still_open + 1] = open[i] end
        end
        open = still_open
    end
    return taken
end

-- Strict priority would let the low ones starve behind work that never ends: while lower priorities wait, every
-- 20th task is of one of them, in turn. So the lowest gets at least one task in 20 (one in 60 when two others wait
-- between), and the highest loses at most one in 20. It is counted for each set of models apart: else a pool of other
-- models could, claim by claim, be the one that meets the 20th.
local SHARE = 20
local ROUND = SHARE * 6  -- after as many, one, two or three lower priorities have all had the same

local function take_all(lanes, left, wanted)
    local models = table.concat(ARGV, ',', FIRST_MODEL)
    local has_lower = left[1] + left[2] + left[3] > 0
    local before = has_lower and tonumber(call('HGET', SHARES, models) or 0) or 0
    local passed, taken, top = before, 0, 0
    local function pass_empty()
        while top <= 3 and left[top] <= 0 do top = top + 1 end
    end
    pass_empty()
    while taken < wanted and top <= 3 and skips_left > 0 and bytes < ENOUGH_BYTES do
        local lower = {}
        for priority = top + 1, 3 do
            if left[priority] > 0 then lower[#lower + 1] = priority end
        end
        local from, count = top, math.min(wanted - taken, left[top])
        if #lower > 0 and count > 0 then
            local until_share = SHARE - 1 - passed % SHARE
            if until_share > 0 then
                count = math.min(count, until_share)
            else
                from, count = lower[math.floor(passed / SHARE) % #lower + 1], 1
            end
        end
        local turn = count > 0 and #lanes[from] > 1 and call('HINCRBY', STATS, 'turn', 1) or 0
        local got = count > 0 and take_fairly(lanes[from], turn, count) or 0
        left[from] = got < count and 0 or left[from] - got
        taken = taken + got
        if #lower > 0 then passed = (passed + got) % ROUND end
        pass_empty()
    end
    if passed ~= before then call('HSET', SHARES, models, passed) end
    return taken
end

local function lanes_with_tasks()
    local names = {}
    for priority = 0, 3 do
        for i = FIRST_MODEL, #ARGV do names[#names + 1] = ARGV[i] .. OF_PRIORITY[priority] end
    end
    local counts = call('HMGET', LANES, unpack(names))
    local by_priority, waiting, models = {}, {}, #ARGV - FIRST_MODEL + 1
    for priority = 0, 3 do by_priority[priority], waiting[priority] = {}, 0 end
    for i = 1, #names do
        local count = tonumber(counts[i] or 0)
        if count > 0 then
            local priority = math.floor((i - 1) / models)
            table.insert(by_priority[priority], names[i])
            waiting[priority] = waiting[priority] + count
        end
    end
    return by_priority, waiting
end

local taken = 0
if not policy.stopped and #ARGV >= FIRST_MODEL then
    local lanes, waiting = lanes_with_tasks()
    if waiting[0] + waiting[1] + waiting[2] + waiting[3] > 0 then
        go_on_when_full()
        taken = take_all(lanes, waiting, wanted)
    end
end
write_leases()
if taken > 0 then due = math.min(due or math.huge, now + policy.lease_ms) end
local emptied = write_counters(policy)
for i = 1, #emptied do drop_lane(emptied[i]) end

local wait = due and math.max(0, due - now) or -1
if met_old or skips_left <= 0 or (taken < wanted and bytes >= ENOUGH_BYTES) then wait = 0 end
return {policy.version, policy.stopped and 1 or 0, now, wait, unpack(found)}

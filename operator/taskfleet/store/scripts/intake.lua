-- How tasks come in: all are checked, then all are written. `blob` is what codec.py packs: for each task lane number,
-- delay and first moment in ms (0: none), id, and the record from the deadline on.

local function read_new(blob)
    local new = {ids = {}, keys = {}, rest = {}, lanes = {}, start = {}}
    local ids, keys, rest, lanes = new.ids, new.keys, new.rest, new.lanes
    local position, n = 1, 0
    while position <= #blob do
        n = n + 1
        local delay, not_before
        lanes[n], delay, not_before, ids[n], rest[n], position = unpack_('>I2I8I8I2c0I4c0', blob, position)
        new.start[n] = math.max(delay > 0 and now + delay or 0, not_before)
        keys[n] = TASK_ .. ids[n]
    end
    return new
end

local function refusal(policy, biggest, biggest_bytes)
    if not policy then return {'not_found'} end
    if policy.closed then return {'closed'} end
    if biggest_bytes > policy.max_task_bytes then
        return {'too_large', biggest, biggest_bytes, policy.max_task_bytes}
    end
    return nil
end

local function held()
    local counts = call('HMGET', LANES, '*', '+')
    return tonumber(counts[1] or 0) + tonumber(counts[2] or 0) + call('ZCARD', SCHEDULED)
end

local function full(policy, wanted)
    local holds = held()
    if holds + wanted > policy.max_pending then return {'full', holds, policy.max_pending} end
    return nil
end

-- Of the stage itself a double is a double; one of another stage may yet come to nothing.
local function duplicate(new, stage)
    if call('EXISTS', unpack(new.keys)) == 0 then return nil end
    for i = 1, #new.keys do
        local record = call('GETRANGE', new.keys[i], 0, HEAD_BYTES - 1)
        if record ~= '' then
            local t = parse(record)
            return {t.stage ~= stage and is_staged(t) and 'staged' or 'duplicate', new.ids[i]}
        end
    end
end

-- Writes the records and returns the ids that wait now by lane number, and score and id of those that wait for their
-- time and of those with a deadline. The first write of the script: refused whole when the store is full. A delayed
-- task counts as enqueued when its delay ends: neither its time to live nor what it waited includes the delay.
local function write_new(new, stage)
    local n = #new.ids
    local last = call('HINCRBY', STATS, 'sequence', n)
    local moving = pack(MOVING, PENDING, 0, 0, 0, 0, now, 0)
    local scheduled, deadlines = {}, {}
    local stage_bytes = pack('>I4', stage)
    local pairs_, by_lane = {}, {}
    for i = 1, n do
        pairs_[2 * i - 1] = new.keys[i]
        local is_delayed = new.start[i] > now
        local moves = is_delayed and pack(MOVING, SCHEDULED_STATE, 0, 0, 0, 0, new.start[i], 0) or moving
        pairs_[2 * i] = moves .. pack('>I4', (last - n + i) % 4294967296) .. stage_bytes .. new.rest[i]
        local deadline = unpack_('>I6', new.rest[i])
        if deadline > 0 then
            deadlines[#deadlines + 1] = deadline
            deadlines[#deadlines + 1] = new.ids[i]
        end
        if is_delayed then
            scheduled[#scheduled + 1] = new.start[i]
            scheduled[#scheduled + 1] = new.ids[i]
        else
            local lane = by_lane[new.lanes[i]] or {}
            by_lane[new.lanes[i]] = lane
            lane[#lane + 1] = new.ids[i]
        end
    end
    call('MSET', unpack(pairs_))
    return by_lane, scheduled, deadlines
end

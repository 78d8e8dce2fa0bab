-- needs: lib
-- What is told of a task: a stream of its own, for tasks that asked for it. An entry's id is FENCE-NUMBER with numbers
-- from 1 in each attempt, so that a reader sees a gap. Of its fields `p` is how many chunks of the attempt were told up
-- to there, and `b` the bytes of all data.

local MOST_EVENTS = 4096
local MOST_BYTES = 1024 * 1024
-- After the end; later the result tells all that is worth telling. Who reads at that moment hears of the end in any case.
local KEPT_MS, LEAST_KEPT_MS = 10 * 60 * 1000, 5000

local function last_event(key)
    local found = call('XREVRANGE', key, '+', '-', 'COUNT', 1)[1]
    if not found then return {fence = 0, number = 0, chunks = 0, bytes = 0} end
    local fence, number = string.match(found[1], '^(%d+)-(%d+)$')
    local fields = found[2]
    return {id = found[1], fence = tonumber(fence), number = tonumber(number), chunks = tonumber(fields[8]),
        bytes = tonumber(fields[10])}
end

-- Adds an event of a lease behind the last one.
local function append_event(key, last, fence, kind, data)
    if fence > last.fence then last.fence, last.number, last.chunks = fence, 0, 0 end
    last.number, last.bytes = last.number + 1, last.bytes + #data
    last.id = string.format('%.0f-%.0f', last.fence, last.number)
    call('XADD', key, 'MAXLEN', MOST_EVENTS, last.id, 'k', kind, 'd', data, 't', string.format('%.0f', now),
        'p', last.chunks, 'b', string.format('%.0f', last.bytes))
end

-- Drops the oldest events until the others are few enough bytes; the last one stays, whatever its size.
local function trim_events(key, last)
    while true do
        local oldest = call('XRANGE', key, '-', '+', 'COUNT', 1)[1]
        local fields = oldest[2]
        local bytes = last.bytes - tonumber(fields[10]) + #fields[4]
        if bytes <= MOST_BYTES or oldest[1] == last.id then return end
        call('XDEL', key, oldest[1])
    end
end

-- From now on, of a task of which nothing is kept yet.
local function keep_events(t)
    local byte = string.byte(t.fixed, PRIORITY_AT - MOVING_BYTES + 1)
    call('SETRANGE', TASK_ .. t.id, PRIORITY_AT, pack('>B', byte + HAS_EVENTS))
end

-- The task that runs under this lease, which may be told of from now on; nil when it is another's.
local function holding(policy, id, fence)
    local t = policy and load_task(id)
    if not t or t.state ~= RUNNING or t.fence ~= fence then return nil end
    if not t.events then keep_events(t) end
    return t
end

-- The key and last event of a task, once it has been told that this attempt began.
local function begin_attempt(t, about)
    local key = EVENTS_ .. t.id
    local last = last_event(key)
    if last.fence < t.fence then
        local known = {attempt = t.attempts, worker = call('HGET', HOLDERS, t.id) or ''}
        for name, value in pairs(cjson.decode(about)) do known[name] = value end
        append_event(key, last, t.fence, last.id and 'restarted' or 'started', cjson.encode(known))
    end
    return key, last
end

-- The last event: readers need not wait for another one.
local function tell_end(t, state, keep_ms)
    local key = EVENTS_ .. t.id
    append_event(key, last_event(key), t.fence, 'finished',
        string.format('{"state":"%s","attempts":%.0f}', STATE_WORDS[state], t.attempts))
    call('PEXPIRE', key, math.max(LEAST_KEPT_MS, math.min(keep_ms, KEPT_MS)))
    call('HDEL', PROGRESS, t.id)
    call('PUBLISH', key, '')
end

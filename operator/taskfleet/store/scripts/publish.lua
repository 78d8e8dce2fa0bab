-- needs: events
-- ARGV: for each task its id, its fence, how many chunks came before these in its attempt, JSON of what is known of the
-- attempt, the number of chunks, and these. Reply: 1 or 0 (fence refused) for each.

local policy = read_policy()
go_on_when_full()  -- a stream is bounded, and whoever reads it counts on its being whole

local function tell(id, fence, before, about, first, count)
    local t = holding(policy, id, fence)
    if not t then return 0 end
    local key, last = begin_attempt(t, about)
    for i = math.max(1, last.chunks - before + 1), count do
        -- Chunks that never came, or that the store has lost, keep their numbers: who has read them reads on behind them,
        -- and to others the gap says that they are missing.
        last.number = last.number + before + i - last.chunks - 1
        last.chunks = before + i
        append_event(key, last, fence, 'chunk', ARGV[first + i - 1])
    end
    trim_events(key, last)
    call('PUBLISH', key, '')
    return 1
end

local answers, at = {}, 1
while at <= #ARGV do
    local count = tonumber(ARGV[at + 4])
    answers[#answers + 1] = tell(ARGV[at], tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2]), ARGV[at + 3], at + 5, count)
    at = at + 5 + count
end
return answers
